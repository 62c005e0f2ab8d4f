"""The keys that never enter the engine: the trustees' and the authority's.

trustees.key        the election's private key, sealed under a passphrase
trustees.pub.json   {"suite", "public_key", "key_id"}, for the draft
authority.key       the authority's signing key, sealed under the passphrase
authority.pub       its verifier key text, for `election create` and for clients
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from votepyramid.protocol.encoding import ProtocolError, b64u, jcs, strict_json
from votepyramid.protocol.identifiers import key_id
from votepyramid.protocol.keyfile import DEFAULT_LOG2_N, open_keyfile, seal_keyfile
from votepyramid.protocol.notes import SigningKey, is_name
from votepyramid.protocol.suites import get_suite

TRUSTEES = "trustees.key"
TRUSTEES_PUBLIC = "trustees.pub.json"
AUTHORITY = "authority.key"
AUTHORITY_PUBLIC = "authority.pub"
# What a key file is sealed for; it opens as nothing else.
_TRUSTEES_PURPOSE = "trustees"
_AUTHORITY_PURPOSE = "authority"
_MAX_FILE = 64 * 1024


class KeyFileError(Exception):
    """A key file cannot be written or read; the message says what to do."""


@dataclass(frozen=True)
class PublicKeys:
    """What `generate` made, as far as anyone may know it. `authority` is a vkey."""

    suite: str
    public_key: str
    key_id: str
    authority: str


def generate(
    folder: Path,
    passphrase: str,
    *,
    suite: str,
    authority: str,
    engine_state: Path | None = None,
    log2_n: int = DEFAULT_LOG2_N,
) -> PublicKeys:
    """Make both key pairs in `folder`; `authority` is the name it signs under.

    Raises KeyFileError when a file is there already or the folder lies within
    `engine_state`, where the election's private key must never be; ProtocolError
    for an unknown suite.
    """
    chosen = get_suite(suite)
    if not is_name(authority):
        raise KeyFileError("the authority's name has no spaces and no plus sign")
    if not passphrase:
        raise KeyFileError("the passphrase is empty")
    _check_folder(folder, engine_state)
    pair, signer = chosen.generate_private_key(), SigningKey.generate(authority)
    public = PublicKeys(
        suite=chosen.id,
        public_key=b64u(pair.public),
        key_id=key_id(chosen.id, pair.public).hex(),
        authority=signer.verifier.text(),
    )
    trustees = {name: getattr(public, name) for name in _PUBLIC_MEMBERS}
    secret, text = pair.private, signer.text().encode()
    _write(
        folder / TRUSTEES,
        seal_keyfile(secret, passphrase, _TRUSTEES_PURPOSE, log2_n=log2_n),
    )
    _write(
        folder / AUTHORITY,
        seal_keyfile(text, passphrase, _AUTHORITY_PURPOSE, log2_n=log2_n),
    )
    _write(folder / TRUSTEES_PUBLIC, jcs(trustees) + b"\n", 0o644)
    _write(folder / AUTHORITY_PUBLIC, f"{public.authority}\n".encode(), 0o644)
    return public


_PUBLIC_MEMBERS = ("suite", "public_key", "key_id")


def read_trustees(path: Path, passphrase: str) -> bytes:
    """The election's raw private key. Raises KeyFileError."""
    return _open(path, passphrase, _TRUSTEES_PURPOSE)


def read_authority(path: Path, passphrase: str) -> SigningKey:
    """The authority's signing key. Raises KeyFileError."""
    return SigningKey.parse(_open(path, passphrase, _AUTHORITY_PURPOSE).decode())


def read_public(path: Path) -> dict[str, Any]:
    """`suite`, `public_key` and `key_id` of a trustees.pub.json. KeyFileError."""
    try:
        value = strict_json(_read(path), _MAX_FILE)
    except ProtocolError as error:
        raise KeyFileError(f"{path}: {error.problem}") from None
    if not isinstance(value, dict) or set(value) != set(_PUBLIC_MEMBERS):
        raise KeyFileError(f"{path} is no {TRUSTEES_PUBLIC}")
    return value


def _check_folder(folder: Path, engine_state: Path | None) -> None:
    if engine_state is not None:
        state = engine_state.resolve()
        if folder.resolve() == state or state in folder.resolve().parents:
            raise KeyFileError(
                f"{folder} lies in the engine's own data: the election's private key "
                "must never be there; choose a folder of the trustees"
            )
    for name in (TRUSTEES, TRUSTEES_PUBLIC, AUTHORITY, AUTHORITY_PUBLIC):
        if (folder / name).exists():
            raise KeyFileError(
                f"{folder / name} exists and is not overwritten: choose another folder"
            )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise KeyFileError(f"cannot make {folder}: {error.strerror}") from None


def _write(path: Path, data: bytes, mode: int = 0o600) -> None:
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {error.strerror}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}") from None


def _open(path: Path, passphrase: str, purpose: str) -> bytes:
    try:
        return open_keyfile(_read(path), passphrase, purpose)
    except ProtocolError as error:
        raise KeyFileError(f"{path}: {error.problem}") from None
