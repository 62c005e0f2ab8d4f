"""Random secrets of sessions and set-up links: given out once, kept as their hash."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets

BYTES = 32


def make() -> tuple[str, bytes]:
    """A new secret, 43 characters of base64url, and the SHA-256 it is kept by."""
    raw = secrets.token_bytes(BYTES)
    return _text(raw), hashlib.sha256(raw).digest()


def kept(text: str) -> bytes | None:
    """The SHA-256 a secret is kept by; None for what is no secret as we write them."""
    try:
        raw = base64.b64decode(f"{text}=".encode("ascii"), b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    if len(raw) != BYTES or _text(raw) != text:
        return None
    return hashlib.sha256(raw).digest()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
