"""What was stated at an election's end, checked offline under the pinned manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from votepyramid.client.ballots import PinnedElection, pin
from votepyramid.client.errors import BallotFileError, ClientError, ManifestRejected
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.absence import (
    MAX_ABSENCE_BYTES,
    parse_absence,
    verify_absence,
)
from votepyramid.protocol.encoding import (
    ProtocolError,
    canonical_hex32,
    canonical_uuid,
    strict_json,
)
from votepyramid.protocol.identifiers import token_tag
from votepyramid.protocol.notes import VerifierKey
from votepyramid.protocol.statements import (
    MAX_STATEMENT_BYTES,
    ClosingStatement,
    open_closing,
    open_none_issued,
)

MAX_FILE_BYTES = 64 * 1024


class NotStated(ClientError):
    """A statement or proof does not hold; the problem names the check."""

    advice = "Keep the files, and show them to the election office and to others."


@dataclass(frozen=True)
class Finding:
    """What was checked, and what follows from it."""

    checks: tuple[str, ...]
    said: str
    details: dict[str, Any]


def pinned(
    signed: dict[str, Any], authority: str | None, pinned_hash: str | None
) -> PinnedElection:
    """The election of a signed manifest. Raises ManifestRejected, also without pin."""
    return pin(
        signed,
        str(signed["manifest"].get("id")),
        authority_vkey=authority,
        pinned_hash=pinned_hash,
    )


def check_absence(
    election: PinnedElection, closing: Path, proof: Path, tag: bytes
) -> Finding:
    """That no vote stands under `tag`. Raises NotStated, BallotFileError."""
    statement = _closing(election, _read(closing, MAX_STATEMENT_BYTES))
    try:
        found = parse_absence(_read(proof, MAX_ABSENCE_BYTES).strip(b"\n"))
        verify_absence(statement.tags.root, statement.tags.size, tag, found)
    except ProtocolError as error:
        raise NotStated(f"proof: {error.problem}") from None
    return Finding(
        (
            "statement: the closing statement is signed by the election's key",
            "counts: its numbers agree with each other",
            "proof: both neighbours are in the tree of tags, and the tag between them",
        ),
        f"No vote stands under the tag {tag.hex()}.",
        {"tag": tag.hex(), "votes": statement.votes},
    )


def check_none_issued(election: PinnedElection, answer: Path, voter: str) -> Finding:
    """That no token was issued to the voter. Raises NotStated, BallotFileError.

    `answer` is what the engine answered, {"statement", "nonce"}.
    """
    note, nonce = _answer(answer)
    origin, key = _signer(election)
    try:
        statement = open_none_issued(note, origin, election.m, key)
    except ProtocolError as error:
        raise NotStated(f"statement: {error.problem}") from None
    try:
        statement.check_holder(election.id, nonce, voter)
    except ProtocolError as error:
        raise NotStated(f"voter: {error.problem}") from None
    return Finding(
        (
            "statement: it is signed by the election's key",
            "voter: it was made to this voter",
        ),
        "The engine states that it issued no token to this voter.",
        {},
    )


def tag_of(election: PinnedElection, tag: str | None, token: Path | None) -> bytes:
    """The tag given as 64 hex digits, or that of the token in a file."""
    try:
        if tag is not None:
            return canonical_hex32(tag)
        if token is not None:
            text = _read(token, MAX_FILE_BYTES).decode("ascii", "replace").strip()
            return token_tag(election.id, election.m, canonical_uuid(text))
    except ProtocolError as error:
        raise ClientError(f"the tag or token: {error.problem}") from None
    raise ClientError(
        "no tag to look for", "Give --tag, or --token-file with your token in it."
    )


def _closing(election: PinnedElection, data: bytes) -> ClosingStatement:
    origin, key = _signer(election)
    try:
        note = data.decode("utf-8")
        statement = open_closing(note, origin, election.m, key)
    except UnicodeDecodeError:
        raise NotStated("statement: it is not UTF-8") from None
    except ProtocolError as error:
        raise NotStated(f"statement: {error.problem}") from None
    try:
        statement.reconcile()
    except ProtocolError as error:
        raise NotStated(f"counts: {error.problem}") from None
    return statement


def _signer(election: PinnedElection) -> tuple[str, VerifierKey]:
    try:
        origin, _ = manifests.receipt_key(election.manifest)
        return origin, manifests.signer(election.manifest, "statements")
    except ProtocolError as error:
        raise ManifestRejected(
            f"the manifest names no key for statements: {error.problem}",
            "Elections that were signed before there were statements have none.",
        ) from None


def _answer(path: Path) -> tuple[str, bytes]:
    try:
        value = strict_json(_read(path, MAX_FILE_BYTES), MAX_FILE_BYTES)
        if isinstance(value, dict) and set(value) == {"statement", "nonce"}:
            note = value["statement"]
            if isinstance(note, str):
                return note, canonical_hex32(value["nonce"])
    except ProtocolError as error:
        raise BallotFileError(f"{path}: {error.problem}") from None
    raise BallotFileError(
        f"{path} has not exactly statement and nonce", "Give the engine's answer whole."
    )


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise BallotFileError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > limit:
        raise BallotFileError(f"{path} is longer than {limit} bytes")
    return data
