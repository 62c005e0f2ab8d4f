"""How the names of people and of their security keys are written."""

from __future__ import annotations

import re

from votepyramid.people.errors import NameInvalid

_LABEL = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")


def is_name(text: str) -> bool:
    """Whether somebody can have this name; the database is not asked for any other."""
    return _NAME.fullmatch(text) is not None


def checked_name(text: str) -> str:
    """Raises NameInvalid."""
    if not is_name(text):
        raise NameInvalid(
            "a name is 1 to 64 of the characters a-z 0-9 . _ @ + - and begins with a "
            "letter or a digit"
        )
    return text


def is_label(text: str) -> bool:
    """Whether a security key can be called so: 1 to 64 characters on one line."""
    return _LABEL.fullmatch(text) is not None and text == text.strip()
