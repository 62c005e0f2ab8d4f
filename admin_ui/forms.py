"""Forms: exactly the fields of a page, each once, of bounded length."""

from __future__ import annotations

import uuid
from typing import Any

from pyramid.httpexceptions import HTTPNotFound

MAX_LENGTH = 4096


class FormInvalid(Exception):
    """What was sent is not one of our forms, filled in."""


def read(
    request: Any,
    *names: str,
    many: str | None = None,
    longest: int = MAX_LENGTH,
) -> dict[str, str]:
    """The form's texts by name. `many` may be there any number of times: see `chosen`.

    Raises FormInvalid for a missing, unknown, repeated or overlong field.
    """
    form = request.POST
    for name in form:
        if name not in names and name != many:
            raise FormInvalid("It has a field that is not known here")
    found = {}
    for name in names:
        values = form.getall(name)
        if len(values) != 1 or not isinstance(values[0], str):
            raise FormInvalid(f"The field {name} must be there once")
        found[name] = values[0]
    if any(len(value) > longest for value in found.values()):
        raise FormInvalid(f"A field is longer than {longest} characters")
    return found


def file(request: Any, name: str, longest: int) -> bytes:
    """The one file of a form's field; empty when none was chosen.

    Raises FormInvalid when it is longer.
    """
    values = request.POST.getall(name) or [b""]
    if len(values) != 1:
        raise FormInvalid(f"The field {name} must be there once")
    (value,) = values
    if not hasattr(value, "file"):
        return b""
    content: bytes = value.file.read(longest + 1)
    if len(content) > longest:
        raise FormInvalid(f"A file may have {longest} bytes")
    return content


def chosen(request: Any, name: str) -> list[str]:
    """The values of the boxes of that name that were ticked."""
    return [str(value) for value in request.POST.getall(name)]


def unhex(text: str, size: int) -> bytes:
    """`size` bytes out of a hidden field. Raises FormInvalid."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != size or found.hex() != text:
        raise FormInvalid("A hidden field was changed")
    return found


def asked(request: Any, *names: str) -> dict[str, Any]:
    """What a filter in the address asks for by name, None where it is empty.

    Raises FormInvalid for an unknown, repeated or overlong one.
    """
    query = request.GET
    if set(query) - set(names) or len(query) != len(set(query)):
        raise FormInvalid("The address asks for something that is not known here")
    if any(len(value) > MAX_LENGTH or "\0" in value for value in query.values()):
        raise FormInvalid("The address asks for something too long")
    return {name: query.get(name) or None for name in names}


def number(text: str | None) -> int | None:
    """A place in a list, as our own links have it. Raises FormInvalid."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise FormInvalid("The address names no place in the list")
    return int(text)


def named(request: Any, name: str) -> uuid.UUID:
    """The id in the address, as our own links write it. Raises HTTPNotFound."""
    text = request.matchdict[name]
    try:
        found = uuid.UUID(text)
    except ValueError:
        raise HTTPNotFound from None
    if str(found) != text:
        raise HTTPNotFound
    return found
