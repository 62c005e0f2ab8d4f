"""The audit log's checkpoint: all of that log that a voter gets to see.

Its entries are the auditors', so no proof of growth is public. But a checkpoint that
many keep binds the engine: the log that it gives its auditors must contain it (`audit
verify --checkpoint`). And two of them alone can contradict each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from votepyramid.client import files
from votepyramid.client.evidence import (
    AUDIT_CONFLICT,
    AUDIT_SEEN,
    Broken,
    beside,
    read,
)
from votepyramid.client.logserver import LogServer
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.checkpoint import (
    MAX_CHECKPOINT_BYTES,
    Checkpoint,
    open_checkpoint,
)
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.manifest import Manifest
from votepyramid.protocol.notes import VerifierKey

# Longer than the engine lets caches keep a checkpoint (2 s).
_CACHED_S = 3.0


def look(
    manifest: Manifest,
    receipt: Path,
    asked: LogServer,
    ok: Callable[[str, str], None],
) -> None:
    """Compare the newest checkpoint with the one kept beside the receipt; keep it.

    Raises Broken: `audit_growth` for another root at the same size, `audit_rollback`
    for a smaller size or none, `audit_signature`. Raises CannotCheck, BallotFileError.
    """
    try:
        key = manifests.signer(manifest, "audit_log")
    except ProtocolError:
        # Signed before there was one.
        return
    seen = _seen(receipt, key)
    note, now = _newest(asked, key, seen)
    if note is None or now is None:
        return
    if seen is not None:
        _agree(receipt, note, now, seen)
    if seen is None or now.size > seen.size:
        files.save(beside(receipt, AUDIT_SEEN), note.encode())
    ok("audit_log", f"the audit log signed a checkpoint of {now.size}, which is kept")


def _agree(receipt: Path, note: str, now: Checkpoint, seen: Checkpoint) -> None:
    if now.size > seen.size or now == seen:
        return
    files.save(beside(receipt, AUDIT_CONFLICT), note.encode())
    if now.size == seen.size:
        problem = f"two signed checkpoints of {now.size} entries have different roots"
        raise Broken("audit_growth", problem)
    raise Broken("audit_rollback", _gone(seen.size, now.size))


def _newest(
    asked: LogServer, key: VerifierKey, seen: Checkpoint | None
) -> tuple[str | None, Checkpoint | None]:
    """The checkpoint; asked for once more if a lagging cache may have given it."""
    least = 0 if seen is None else seen.size
    note = asked.audit_checkpoint()
    now = _open(note, key)
    if (0 if now is None else now.size) < least:
        time.sleep(_CACHED_S)
        note = asked.audit_checkpoint()
        now = _open(note, key)
    if now is None and seen is not None:
        raise Broken("audit_rollback", _gone(seen.size, 0))
    return note, now


def _open(note: str | None, key: VerifierKey) -> Checkpoint | None:
    if note is None:
        return None
    try:
        return open_checkpoint(note, key.name, key)
    except ProtocolError as error:
        raise Broken("audit_signature", error.problem) from None


def _seen(receipt: Path, key: VerifierKey) -> Checkpoint | None:
    path = beside(receipt, AUDIT_SEEN)
    data = read(path, MAX_CHECKPOINT_BYTES)
    if data is None:
        return None
    try:
        return open_checkpoint(data.decode(), key.name, key)
    except (ProtocolError, UnicodeDecodeError):
        problem = f"{path} is not a checkpoint of the audit log"
        raise Broken("seen", problem) from None


def _gone(seen: int, now: int) -> str:
    return f"you saw an audit log of {seen} entries, and the server shows one of {now}"
