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
from votepyramid.keys.names import KekNames, checked_fresh
from votepyramid.keys.provider import (
    Announce,
    KekGone,
    KekTaken,
    KeyProviderError,
    NotAllowed,
    WrongContext,
)
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
        _write_new(Path(path), document)

    def make(self, name: str, announce: Announce) -> str:
        """As KekStore; the file has the key, as the current one.

        Whole or not at all, also when the power fails: the new file is on the disk
        before it takes the old one's place. Between the two it is announced.
        """
        place = Path(os.path.realpath(self._path))
        _, keys = _load(place)
        if checked_fresh(name) in keys:
            raise KekTaken(
                f"{self._path} has a key {name!r} already: take another name"
            )
        keys[name] = secrets.token_bytes(32)
        texts = {kept: b64u(key) for kept, key in keys.items()}
        _replace(place, {"current": name, "keys": texts}, announce)
        self._current, self._keys = name, keys
        return name

    @property
    def names(self) -> KekNames:
        """The ids of its keys."""
        return KekNames(self._current, frozenset(self._keys) - {self._current})

    def destroy(self, name: str) -> str:
        """As KekStore; the file loses the key, whole or not at all."""
        place = Path(os.path.realpath(self._path))
        current, keys = _load(place)
        if name not in keys:
            raise KekGone(f"{self._path} has no key-encryption key {name!r}")
        if name == current:
            raise KeyProviderError(f"{name!r} is the current key of {self._path}")
        texts = {kept: b64u(key) for kept, key in keys.items() if kept != name}
        _replace(place, {"current": current, "keys": texts})
        self._keys.pop(name, None)
        return (
            f"removed from {self._path}; it is still in the file's copies on other "
            "hosts and in backups of it"
        )

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
            raise KekGone(
                f"{self._path.name} has no key-encryption key {key_id!r}: destroyed, "
                "or in another file"
            )
        nonce, sealed = wrapped[1 + size :][:NONCE], wrapped[1 + size + NONCE :]
        try:
            return AESGCM(key).decrypt(nonce, sealed, context)
        except (InvalidTag, ValueError):
            raise WrongContext("wrapped for another context, or altered") from None


def _write_new(
    path: Path, document: object, owner: os.stat_result | None = None
) -> None:
    """Raises OSError, FileExistsError for one that is there."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w") as file:
        if owner is not None:
            # Root may rotate; the service must still be able to read it.
            os.fchown(handle, owner.st_uid, owner.st_gid)
        json.dump(document, file)
        file.write("\n")
        file.flush()
        os.fsync(handle)


def _replace(place: Path, document: object, before: Announce = lambda: None) -> None:
    # A fixed name, so that two at a time cannot lose each other's key.
    fresh = place.with_name(f".{place.name}.new")
    try:
        _write_new(fresh, document, place.stat())
    except FileExistsError:
        raise KeyProviderError(
            f"{fresh} is there: another rotation is under way, or one was cut off; "
            "then remove it"
        ) from None
    except PermissionError:
        raise NotAllowed(
            f"{fresh} may not be written: run this as who owns the folder"
        ) from None
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise KeyProviderError(f"cannot write {fresh}: {error.strerror}") from None
    try:
        before()
        os.replace(fresh, place)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
