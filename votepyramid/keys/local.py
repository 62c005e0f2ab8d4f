"""Key-encryption keys in a local file: AES-256-GCM, a key ring, 0600.

The file is JSON, `{"current": id, "keys": {id: base64url of 32 bytes}}`. A wrapped
key is `len(id) ‖ id ‖ nonce(12) ‖ ciphertext`, the context its additional data.
For development and small elections; a KMS or HSM goes behind the same interface.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from votepyramid.keys import secret_file
from votepyramid.keys.provider import KeyProviderError, WrongContext
from votepyramid.protocol.encoding import b64u, unb64u

NONCE = 12


class LocalKeyFile:
    """A KeyProvider on one key file. Raises KeyProviderError when it is unusable."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._current, self._keys = _load(self._path)

    @staticmethod
    def create(path: str | Path) -> None:
        """Make a new key file; refuses to overwrite one."""
        key_id = secrets.token_hex(4)
        document = {"current": key_id, "keys": {key_id: b64u(secrets.token_bytes(32))}}
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump(document, file)
            file.write("\n")

    def wrap(self, context: bytes, key: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE)
        head = self._current.encode()
        sealed = AESGCM(self._keys[self._current]).encrypt(nonce, key, context)
        return bytes([len(head)]) + head + nonce + sealed

    def unwrap(self, context: bytes, wrapped: bytes) -> bytes:
        size = wrapped[0] if wrapped else 0
        key_id = wrapped[1 : 1 + size].decode("ascii", "replace")
        key = self._keys.get(key_id)
        if key is None:
            raise KeyProviderError(
                f"{self._path.name} has no key-encryption key {key_id!r}: destroyed, "
                "or in another file"
            )
        nonce, sealed = wrapped[1 + size :][:NONCE], wrapped[1 + size + NONCE :]
        try:
            return AESGCM(key).decrypt(nonce, sealed, context)
        except (InvalidTag, ValueError):
            raise WrongContext("wrapped for another context, or altered") from None


def _load(path: Path) -> tuple[str, dict[str, bytes]]:
    text = secret_file.read(path)
    try:
        document = json.loads(text)
        keys = {name: unb64u(text) for name, text in document["keys"].items()}
        current = document["current"]
    except (ValueError, KeyError, AttributeError, TypeError):
        raise KeyProviderError(f"{path} is not a key file") from None
    if current not in keys or any(len(key) != 32 for key in keys.values()):
        raise KeyProviderError(f"{path} is not a key file")
    return current, keys
