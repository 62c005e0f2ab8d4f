"""Secrets at rest under a passphrase: trustees' and authority key files.

scrypt (RFC 7914) makes the key, AES-256-GCM seals the secret. The purpose and all
parameters are bound as associated data, so that a file opens only as what it was
made for and with the cost it was made with.
"""

from __future__ import annotations

import os
import unicodedata
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from votepyramid.protocol.encoding import (
    ProtocolError,
    b64u,
    check_id,
    jcs,
    lp,
    strict_json,
    unb64u,
    utf8,
)

MAX_KEYFILE_BYTES = 64 * 1024
DEFAULT_LOG2_N = 17
_LOG2_N = range(10, 21)
_FIELDS = {"ciphertext", "kdf", "log2_n", "nonce", "purpose", "salt", "version"}


class KeyfileError(ProtocolError):
    """A key file is malformed, for another purpose, or the passphrase is wrong."""


def seal_keyfile(
    secret: bytes, passphrase: str, purpose: str, *, log2_n: int = DEFAULT_LOG2_N
) -> bytes:
    """The key file of `secret` as JSON bytes; `purpose` is an identifier.

    scrypt runs with N = 2**log2_n, r = 8, p = 1: the default takes 128 MiB.
    """
    if log2_n not in _LOG2_N:
        raise KeyfileError("a key file's cost is out of bounds")
    header: dict[str, Any] = {
        "kdf": "scrypt",
        "log2_n": log2_n,
        "nonce": b64u(os.urandom(12)),
        "purpose": check_id(purpose),
        "salt": b64u(os.urandom(32)),
        "version": 1,
    }
    ciphertext = _cipher(header, passphrase).encrypt(
        unb64u(header["nonce"]), secret, _associated(header)
    )
    return jcs({**header, "ciphertext": b64u(ciphertext)}) + b"\n"


def open_keyfile(data: bytes, passphrase: str, purpose: str) -> bytes:
    """The secret of a key file. Raises KeyfileError or another ProtocolError."""
    value = strict_json(data, MAX_KEYFILE_BYTES)
    header, ciphertext = _parts(value)
    if header["purpose"] != check_id(purpose):
        raise KeyfileError("a key file is for another purpose")
    cipher = _cipher(header, passphrase)
    try:
        return cipher.decrypt(unb64u(header["nonce"]), ciphertext, _associated(header))
    except InvalidTag:
        raise KeyfileError("wrong passphrase, or the key file was changed") from None


def _parts(value: Any) -> tuple[dict[str, Any], bytes]:
    if not isinstance(value, dict) or set(value) != _FIELDS:
        raise KeyfileError("not a key file")
    if type(value["version"]) is not int or value["version"] != 1:
        raise KeyfileError("a key file of an unknown version")
    if value["kdf"] != "scrypt":
        raise KeyfileError("a key file with an unknown key derivation")
    if type(value["log2_n"]) is not int or value["log2_n"] not in _LOG2_N:
        raise KeyfileError("a key file's cost is out of bounds")
    unb64u(value["nonce"], 12)
    unb64u(value["salt"], 32)
    ciphertext = unb64u(value["ciphertext"])
    return {k: v for k, v in value.items() if k != "ciphertext"}, ciphertext


def _cipher(header: dict[str, Any], passphrase: str) -> AESGCM:
    if not passphrase:
        raise KeyfileError("a key file needs a passphrase")
    # One passphrase typed on two systems may differ in its composed characters.
    secret = utf8(unicodedata.normalize("NFC", passphrase))
    salt = unb64u(header["salt"])
    kdf = Scrypt(salt=salt, length=32, n=2 ** header["log2_n"], r=8, p=1)
    return AESGCM(kdf.derive(secret))


def _associated(header: dict[str, Any]) -> bytes:
    return lp(b"evote/keyfile/v1") + lp(jcs(header))
