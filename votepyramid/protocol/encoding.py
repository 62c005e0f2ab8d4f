"""The few encodings that every hash, signature and identifier is built from.

Each encoded value has exactly one accepted text. Readers in the standard library
are lenient (base64 with stray bits, UUIDs in braces, JSON with repeated keys), so
every reader here checks that writing the value again gives the same text: two
spellings of one ballot must never become two ballots.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
import uuid
from typing import Any, NoReturn

import rfc8785

ID_PATTERN = r"[a-z0-9._-]{1,64}"
MAX_JSON_DEPTH = 32
MAX_SAFE_INTEGER = 2**53 - 1

_ID = re.compile(ID_PATTERN)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEX32 = re.compile(r"[0-9a-f]{64}")
_B64U = re.compile(r"[A-Za-z0-9_-]*")
_B64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_PLAIN = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


class ProtocolError(ValueError):
    """A value breaks the protocol; `problem` says how, in one sentence.

    The sentence never quotes the value itself, which may be a secret.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class NotCanonical(ProtocolError):
    """A value is not in the one spelling that the protocol accepts."""


class StrictJsonError(ProtocolError):
    """Bytes are not the strict JSON that the protocol accepts."""


def u32be(number: int) -> bytes:
    """Four bytes, big-endian. Raises NotCanonical outside 0 .. 2**32 - 1."""
    if not 0 <= number < 2**32:
        raise NotCanonical("a number does not fit 32 bits")
    return number.to_bytes(4, "big")


def lp(data: bytes) -> bytes:
    """`data` behind its length as four big-endian bytes."""
    return u32be(len(data)) + data


def utf8(text: str) -> bytes:
    """Text as UTF-8. Raises NotCanonical for a lone surrogate."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise NotCanonical("text holds a lone surrogate") from None


def H(*parts: bytes | str) -> bytes:  # noqa: N802 - the specification's own name
    """SHA-256 over the length-prefixed parts (32 bytes); text is UTF-8."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(lp(utf8(part) if isinstance(part, str) else part))
    return digest.digest()


def v8(data: bytes) -> uuid.UUID:
    """Sixteen bytes as a UUID of version 8 (RFC 9562, section 5.8).

    Six of the 128 bits are overwritten by version and variant.
    """
    if len(data) != 16:
        raise NotCanonical("a version 8 UUID is made of 16 bytes")
    octets = bytearray(data)
    octets[6] = 0x80 | octets[6] & 0x0F
    octets[8] = 0x80 | octets[8] & 0x3F
    return uuid.UUID(bytes=bytes(octets))


def b64u(data: bytes) -> str:
    """Base64url without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64u(text: object, length: int | None = None) -> bytes:
    """The bytes of canonical base64url, of exactly `length` bytes where given.

    Raises NotCanonical for padding, other alphabets, stray bits, another length.
    """
    if not isinstance(text, str) or not _B64U.fullmatch(text):
        raise NotCanonical("not base64url without padding")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise NotCanonical("not base64url without padding") from None
    if b64u(data) != text:
        raise NotCanonical("base64url has stray bits at its end")
    if length is not None and len(data) != length:
        raise NotCanonical(f"not {length} bytes of base64url")
    return data


def b64(data: bytes) -> str:
    """Base64 with padding (RFC 4648, section 4), as C2SP's formats have it."""
    return base64.b64encode(data).decode("ascii")


def unb64(text: str, length: int | None = None) -> bytes:
    """The bytes of canonical base64, of exactly `length` bytes where given.

    Raises NotCanonical for missing padding, other alphabets, stray bits, another
    length.
    """
    if not _B64.fullmatch(text) or len(text) % 4:
        raise NotCanonical("not base64 with padding")
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise NotCanonical("not base64 with padding") from None
    if b64(data) != text:
        raise NotCanonical("base64 has stray bits at its end")
    if length is not None and len(data) != length:
        raise NotCanonical(f"not {length} bytes of base64")
    return data


def decimal(text: str) -> int:
    """The number from 0 to 2**63 - 1 of ASCII digits without leading zeroes.

    Raises NotCanonical.
    """
    if not _DECIMAL.fullmatch(text) or (number := int(text)) >= 2**63:
        raise NotCanonical("not a decimal number below 2**63 without leading zeroes")
    return number


def canonical_uuid(text: object) -> uuid.UUID:
    """The UUID of its 36-character lowercase text. Raises NotCanonical."""
    if not isinstance(text, str) or not _UUID.fullmatch(text):
        raise NotCanonical("not a UUID in lowercase text")
    return uuid.UUID(text)


def canonical_hex32(text: object) -> bytes:
    """The 32 bytes of 64 lowercase hex digits. Raises NotCanonical."""
    if not isinstance(text, str) or not _HEX32.fullmatch(text):
        raise NotCanonical("not 64 lowercase hex digits")
    return bytes.fromhex(text)


def check_id(text: object) -> str:
    """`text` when it is an identifier (ID_PATTERN). Raises NotCanonical."""
    if not isinstance(text, str) or not _ID.fullmatch(text):
        raise NotCanonical(f"not an identifier of the form {ID_PATTERN}")
    return text


def jcs(value: Any) -> bytes:
    """The canonical JSON of `value` (RFC 8785).

    Raises NotCanonical for what has none: NaN, integers from 2**53 on, lone
    surrogates, keys that are not text, values nested too deep, other types.
    """
    try:
        if _is_plain(value):
            return _PLAIN.encode(value).encode()
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError):
        raise NotCanonical("a value has no canonical JSON") from None


def _is_plain(value: Any) -> bool:
    """Whether the standard library's encoder, in C, writes what RFC 8785 asks for.

    It does not for fractions, and sorts keys by code point; where they are ASCII that
    is the order by UTF-16. Nearly all that is hashed here is plain.
    """
    kind = type(value)
    if kind is dict:
        return all(
            type(name) is str and name.isascii() and _is_plain(member)
            for name, member in value.items()
        )
    if kind is list:
        return all(map(_is_plain, value))
    if kind is int:
        return bool(abs(value) <= MAX_SAFE_INTEGER)
    return value is None or kind in (str, bool)


def strict_json(data: bytes, max_bytes: int) -> Any:
    """The value of one JSON text in UTF-8 of at most `max_bytes` bytes.

    Raises StrictJsonError for anything that two readers could take differently or
    that canonical JSON cannot hold: repeated keys, NaN and infinities, integers
    from 2**53 on, lone surrogates, a byte order mark; and for U+0000, which
    databases refuse, and nesting deeper than MAX_JSON_DEPTH.
    """
    if len(data) > max_bytes:
        raise StrictJsonError(f"JSON text longer than {max_bytes} bytes")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_int=_safe_integer,
            parse_float=_finite,
            parse_constant=_refuse_constant,
        )
    except StrictJsonError:
        raise
    except UnicodeDecodeError:
        raise StrictJsonError("JSON text is not UTF-8") from None
    except RecursionError:
        raise StrictJsonError("JSON is nested too deep") from None
    except ValueError:
        raise StrictJsonError("not a JSON text") from None
    _check_tree(value)
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise StrictJsonError("a JSON object repeats a key")
    return members


def _safe_integer(text: str) -> int:
    # Measured before int() reads it: long digit strings cost quadratic time.
    if len(text) > 17 or abs(number := int(text)) > MAX_SAFE_INTEGER:
        raise StrictJsonError("a JSON integer is 2**53 or more")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise StrictJsonError("a JSON number is too large")
    if MAX_SAFE_INTEGER < abs(number) < 1e21:
        # Its canonical form is an integer that would be refused when read again.
        raise StrictJsonError("a JSON number is 2**53 or more")
    return number


def _refuse_constant(_text: str) -> NoReturn:
    raise StrictJsonError("JSON has no NaN and no infinities")


def _check_tree(value: Any) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
        if not below:
            return
        level = below
    raise StrictJsonError("JSON is nested too deep")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise StrictJsonError("JSON text holds U+0000")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise StrictJsonError("JSON text holds a lone surrogate") from None
