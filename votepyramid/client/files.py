"""The voter's file: a sealed ballot before it is sent, and later its receipt.

It holds what is needed to send the very same bytes after a crash and to verify the
receipt years later without any server: token, sealed ballot, signed manifest and
the answer's bytes. It never holds choices or what the sealing drew at random. Until
the ballot is recorded the token in it can be used by whoever reads it, so the file
is its owner's alone (0600).
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from votepyramid.client.ballots import SealedBallot
from votepyramid.client.errors import BallotFileError
from votepyramid.protocol.encoding import (
    ProtocolError,
    b64u,
    canonical_hex32,
    canonical_uuid,
    check_id,
    strict_json,
    unb64u,
)
from votepyramid.protocol.identifiers import ciphertext_hash, token_tag
from votepyramid.protocol.leaf import leaf_bytes, receipt_hash
from votepyramid.protocol.manifest import MAX_SIGNED_MANIFEST_BYTES

_Publish = Callable[[Path, Path], None]
FORMAT = "votepyramid-ballot/v1"
MAX_BYTES = MAX_SIGNED_MANIFEST_BYTES + 512 * 1024
_BALLOT_FIELDS = {"election", "manifest_hash", "style", "suite", "key_id", "token"}
_FIELDS = _BALLOT_FIELDS | {"payload", "receipt_hash"}
_FIELDS |= {"format", "server", "signed_manifest", "answer", "disputed"}


@dataclass(frozen=True)
class BallotFile:
    """The file's content. `answer` is the verified answer, once there is one.

    `disputed` is the last answer that did not verify: evidence for a complaint.
    """

    server: str
    ballot: SealedBallot
    signed_manifest: dict[str, Any] = field(repr=False)
    answer: bytes | None = field(default=None, repr=False)
    disputed: bytes | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "server": self.server,
            "election": self.ballot.election,
            **self.ballot.body(),
            "receipt_hash": self.ballot.receipt_hash,
            "signed_manifest": self.signed_manifest,
            "answer": None if self.answer is None else self.answer.decode(),
            "disputed": None if self.disputed is None else b64u(self.disputed),
        }


def create(path: Path, content: BallotFile) -> None:
    """Write a new file, durably. Raises BallotFileError when one is there."""
    _write(path, content, _publish_new)


def update(path: Path, content: BallotFile) -> None:
    """Replace the file in one step: a crash leaves the old one or the new one."""
    _write(path, content, os.replace)


def load(path: Path) -> BallotFile:
    """Read and check a file. Raises BallotFileError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BallotFileError(f"cannot read {path}: {error.strerror}") from None
    try:
        return _parse(strict_json(data, MAX_BYTES))
    except ProtocolError as error:
        raise BallotFileError(
            f"{path} is not a ballot file: {error.problem}",
            "Give the file that `votepyramid vote` wrote, unchanged.",
        ) from None


def check_place(path: Path) -> None:
    """Raise BallotFileError now if a ballot could not be saved here later."""
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise BallotFileError(
            f"cannot write in {path.parent}", "Name another file with --out."
        )


def _parse(value: Any) -> BallotFile:
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ProtocolError(f"its format is not {FORMAT}")
    if set(value) != _FIELDS or not isinstance(value["server"], str):
        raise ProtocolError("fields are missing or unknown")
    ballot = SealedBallot(
        election=check_id(value["election"]),
        m=canonical_hex32(value["manifest_hash"]),
        style=check_id(value["style"]),
        suite=check_id(value["suite"]),
        kid=canonical_hex32(value["key_id"]),
        bearer=canonical_uuid(value["token"]),
        payload=unb64u(value["payload"]),
        receipt_hash=str(value["receipt_hash"]),
    )
    if _own_receipt_hash(ballot) != ballot.receipt_hash:
        raise ProtocolError("the receipt hash is not that of the sealed ballot")
    signed, answer, disputed = (
        value[name] for name in ("signed_manifest", "answer", "disputed")
    )
    if not isinstance(signed, dict) or not isinstance(answer, str | None):
        raise ProtocolError("signed_manifest or answer is malformed")
    return BallotFile(
        value["server"],
        ballot,
        signed,
        None if answer is None else answer.encode(),
        None if disputed is None else unb64u(disputed),
    )


def _own_receipt_hash(ballot: SealedBallot) -> str:
    c = ciphertext_hash(ballot.suite, ballot.kid, ballot.style, ballot.payload)
    tag = token_tag(ballot.election, ballot.m, ballot.bearer)
    return receipt_hash(leaf_bytes(c, ballot.election, ballot.m, tag))


def save(path: Path, data: bytes) -> None:
    """Write or replace a file of the voter's in one step, durably."""
    _write_bytes(path, data, os.replace)


def _write(path: Path, content: BallotFile, publish: _Publish) -> None:
    data = json.dumps(content.to_json(), indent=1, ensure_ascii=False).encode() + b"\n"
    _write_bytes(path, data, publish)


def _write_bytes(path: Path, data: bytes, publish: _Publish) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            publish(draft, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
        _sync_folder(path.parent)
    except FileExistsError:
        raise BallotFileError(
            f"{path} is there already", "Name another file with --out."
        ) from None
    except OSError as error:
        raise BallotFileError(
            f"cannot write {path}: {error.strerror}", "Name another file with --out."
        ) from None


def _publish_new(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)
    except PermissionError:
        # A file system without links, as on memory sticks: not free of races.
        if path.exists():
            raise FileExistsError(path) from None
        os.replace(draft, path)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
