"""What an auditor knows from elsewhere than the export: no engine can rewrite it.

It is read before anything is checked. What cannot be used is the auditor's to mend, and
no discrepancy of the export: OutsideError.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from votepyramid.auditors.folder import FolderError, OutsideError, read_file
from votepyramid.client import files
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.bulk import ReceiptForm
from votepyramid.protocol.checkpoint import (
    MAX_CHECKPOINT_BYTES,
    Checkpoint,
    open_checkpoint,
    read_unverified,
)
from votepyramid.protocol.encoding import (
    NotCanonical,
    ProtocolError,
    canonical_hex32,
    strict_json,
)
from votepyramid.protocol.identifiers import manifest_hash
from votepyramid.protocol.notes import VerifierKey
from votepyramid.protocol.policy import MAX_POLICY_BYTES, Policy
from votepyramid.protocol.statements import (
    MAX_STATEMENT_BYTES,
    ClosingStatement,
    open_closing,
)

LOG_SIGNERS = {"receipt-log": "receipt_log", "audit-log": "audit_log"}


@dataclass(frozen=True)
class Outside:
    """As it was given: the authority's verifier key text, the manifest's hash as hex,
    and files.

    `checkpoints` were kept by a witness, an earlier audit or the sequencer's folder,
    `receipts` by voters, each the file of `votepyramid vote` or the ballot box's answer
    alone; `closing` is the closing statement as it was published, `policy` whose
    cosignatures are enough (C2SP tlog-policy).
    """

    authority: str | None = None
    checkpoints: tuple[Path, ...] = ()
    receipts: tuple[Path, ...] = ()
    closing: Path | None = None
    policy: Path | None = None
    manifest_hash: str | None = None


@dataclass(frozen=True)
class Kept:
    """The same, opened with the keys of the manifest.

    `checkpoints` by log, each with where it is from; `receipts` as leaf hashes.
    """

    checkpoints: dict[str, list[tuple[Checkpoint, str]]]
    receipts: list[tuple[bytes, str]]
    closing: ClosingStatement | None
    policy: Policy | None


def authority_key(outside: Outside, named: str) -> VerifierKey:
    """The authority's key: from elsewhere, or as the export itself names it."""
    try:
        return VerifierKey.parse(outside.authority or named)
    except ProtocolError as error:
        raise OutsideError(f"the authority's key: {error.problem}") from None


def published_hash(outside: Outside) -> bytes | None:
    """The manifest's hash from elsewhere, 32 bytes."""
    if outside.manifest_hash is None:
        return None
    try:
        return canonical_hex32(outside.manifest_hash)
    except ProtocolError as error:
        raise OutsideError(f"the manifest's hash: {error.problem}") from None


def open_kept(outside: Outside, manifest: manifests.Manifest) -> Kept:
    """Raises OutsideError for what is not of this election."""
    logs = {n: manifests.signer(manifest, s) for n, s in LOG_SIGNERS.items()}
    checkpoints: dict[str, list[tuple[Checkpoint, str]]] = {name: [] for name in logs}
    for path in outside.checkpoints:
        name, said = _checkpoint(path, logs)
        checkpoints[name].append((said, str(path)))
    receipts = [(_receipt(path, manifest), str(path)) for path in outside.receipts]
    stated = outside.closing
    closing = _closing(stated, manifest) if stated is not None else None
    policy = _policy(outside.policy) if outside.policy is not None else None
    return Kept(checkpoints, receipts, closing, policy)


def _closing(path: Path, manifest: manifests.Manifest) -> ClosingStatement:
    origin, _ = manifests.receipt_key(manifest)
    key = manifests.signer(manifest, "statements")
    note = _read(path, MAX_STATEMENT_BYTES)
    try:
        return open_closing(note.decode(), origin, manifest_hash(manifest), key)
    except UnicodeDecodeError:
        raise OutsideError(f"{path} is not a closing statement") from None
    except ProtocolError as error:
        raise OutsideError(f"{path}: {error.problem}") from None


def _policy(path: Path) -> Policy:
    try:
        return Policy.parse(_read(path, MAX_POLICY_BYTES))
    except ProtocolError as error:
        raise OutsideError(f"{path}: {error.problem}") from None


def _checkpoint(path: Path, logs: dict[str, VerifierKey]) -> tuple[str, Checkpoint]:
    try:
        note = _read(path, MAX_CHECKPOINT_BYTES).decode()
        origin = read_unverified(note).origin
        for name, key in logs.items():
            if key.name == origin:
                return name, open_checkpoint(note, origin, key)
    except UnicodeDecodeError:
        raise OutsideError(f"{path} is not a checkpoint") from None
    except ProtocolError as error:
        raise OutsideError(f"{path}: {error.problem}") from None
    raise OutsideError(f"{path} is a checkpoint of no log of this election")


def _receipt(path: Path, manifest: manifests.Manifest) -> bytes:
    _, key = manifests.receipt_key(manifest)
    form = ReceiptForm(manifest["id"], manifest_hash(manifest), key)
    try:
        return form.read(_answer(_read(path, files.MAX_BYTES)))
    except ProtocolError as error:
        raise OutsideError(f"{path}: {error.problem}") from None


def _answer(data: bytes) -> bytes:
    """The ballot box's: a voter's file has it among other things."""
    value = strict_json(data, files.MAX_BYTES)
    if not isinstance(value, dict) or value.get("format") != files.FORMAT:
        return data.rstrip(b"\n")
    if not isinstance(value.get("answer"), str):
        raise NotCanonical("a ballot file without the ballot box's answer")
    return str(value["answer"]).encode()


def _read(path: Path, limit: int) -> bytes:
    try:
        return read_file(path, limit, str(path))
    except FolderError as error:
        raise OutsideError(str(error)) from None
