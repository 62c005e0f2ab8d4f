"""The final log, and a ballot that is not in it: not yet, late, or a broken promise.

A receipt promises one thing: its leaf is in the log's final checkpoint. Which one that
is says the signed closing statement and nothing else. So without it no promise can be
broken: the log takes entries in batches, at intervals that the operator chooses and no
signature promises, and a long delay is a reason to ask, not a proof.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

from votepyramid.client import files
from votepyramid.client.evidence import (
    ABSENCE,
    CLOSING,
    CLOSING_CONFLICT,
    PROOF,
    Broken,
    beside,
    read,
)
from votepyramid.client.logserver import CannotCheck, LogServer
from votepyramid.client.steps import Standing
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol import merkle
from votepyramid.protocol.absence import parse_absence, verify_absence
from votepyramid.protocol.checkpoint import Checkpoint
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.identifiers import manifest_hash, token_tag
from votepyramid.protocol.manifest import Manifest
from votepyramid.protocol.statements import (
    MAX_STATEMENT_BYTES,
    ClosingStatement,
    open_closing,
)

# Ours, and many times what the engine does by itself: when to look again, and from
# when on a missing ballot is worth a question to the office.
SOON = timedelta(minutes=10)
LONG = timedelta(hours=1)
_OVER = ("finished", "unlinked")


@dataclass(frozen=True)
class Looked:
    """What was found of the log: `head` now, `seen` the last time, if there was one.

    `ok` is told of each further check that held.
    """

    manifest: Manifest
    head: Checkpoint
    seen: Checkpoint | None
    receipt: Path
    ok: Callable[[str, str], None]


def final(looked: Looked, asked: LogServer, closing: str, *, in_it: bool) -> None:
    """Hold the log that was shown to the closing statement, and that to the promise.

    `closing` is the statement as the server gave it, before it was asked for the proof
    for the last time; `in_it`: there was one, of the log that was shown. Raises Broken:
    `promise` without it; `closing` or `growth` where the closing statement is not the
    log's, or another than before. Raises CannotCheck, BallotFileError.
    """
    said = _open(looked, closing)
    _keep(looked, closing.encode())
    _agrees(looked, asked, said)
    if not in_it:
        raise Broken("promise", _never(looked, asked, said))


def waiting(looked: Looked, asked: LogServer) -> NoReturn:
    """There is no closing statement. Raise Broken: `included`, `late` or `not_yet`.

    Raises CannotCheck.
    """
    if beside(looked.receipt, PROOF).exists():
        problem = "it was in the log when you checked before, and now there is no proof"
        raise Broken("included", problem)
    standing = asked.standing()
    raise Broken(*judge(standing, looked, datetime.now(UTC), saved(looked.receipt)))


def saved(receipt: Path) -> datetime:
    """When the receipt was written, as this machine has it: a copy is younger."""
    return datetime.fromtimestamp(receipt.stat().st_mtime, UTC)


def judge(
    standing: Standing, looked: Looked, now: datetime, cast: datetime
) -> tuple[str, str]:
    """`late` or `not_yet`, and why. `cast`: when the receipt was there, at the latest.

    The times are those of the signed manifest; the server's word can only shorten them.
    """
    announced = manifests.parse_time(looked.manifest.get("closes"))
    grace = timedelta(seconds=looked.manifest.get("grace_seconds", 0))
    end = min(announced or standing.closes, standing.closes) + grace
    if standing.status in _OVER:
        problem = f"the server says that the election is {standing.status}, and gives "
        return "late", problem + "neither a proof nor a signed closing statement"
    if now > end + LONG:
        problem = f"the last ballot could come at {_time(end)}, and nothing signed says"
        return "late", f"{problem} which log is final; {_growth(looked)}"
    if now > cast + LONG:
        problem = f"your receipt is there since {_time(cast)}; {_growth(looked)}"
        return "late", f"{problem}; the election is not finished before {_time(end)}"
    problem = f"{_growth(looked)}; ask again after {_time(now + SOON)}"
    return "not_yet", f"{problem}, and when the election is finished"


def _keep(looked: Looked, closing: bytes) -> None:
    """It is signed, so it is evidence, also where it is not of the log that was shown.

    One that was kept before stays: two that differ contradict each other. Raises
    Broken then.
    """
    place = beside(looked.receipt, CLOSING)
    kept = read(place, MAX_STATEMENT_BYTES)
    if kept in (None, closing):
        files.save(place, closing)
        return
    files.save(beside(looked.receipt, CLOSING_CONFLICT), closing)
    problem = f"the closing statement is another than the one kept in {place}"
    raise Broken("growth", problem)


def _open(looked: Looked, note: str) -> ClosingStatement:
    manifest = looked.manifest
    try:
        origin, _ = manifests.receipt_key(manifest)
        key = manifests.signer(manifest, "statements")
        return open_closing(note, origin, manifest_hash(manifest), key)
    except ProtocolError as error:
        raise Broken("closing", f"the closing statement: {error.problem}") from None


def _agrees(looked: Looked, asked: LogServer, said: ClosingStatement) -> None:
    """The log that was shown must be the final one, or its beginning (a lagging cache).

    Raises Broken.
    """
    now, final = looked.head, said.log
    if now.size > final.size:
        problem = f"the log has {now.size} entries, the signed final one {final.size}"
        raise Broken("growth", problem)
    proof: list[bytes] | None = []
    if now.size not in (0, final.size):
        proof = asked.consistency(now.size, final.size)
    if proof is None:
        problem = f"no proof that the final {final.size} entries begin with those shown"
        raise Broken("growth", problem)
    try:
        merkle.verify_consistency(now.size, final.size, proof, now.root, final.root)
    except ProtocolError as error:
        problem = f"the closing statement is of another log: {error.problem}"
        raise Broken("growth", problem) from None
    told = f"the closing statement is signed: the final log has {final.size} entries"
    looked.ok("closing", told)


def _never(looked: Looked, asked: LogServer, said: ClosingStatement) -> str:
    """What the broken promise rests on; the proof that others can check is kept."""
    ballot = files.load(looked.receipt).ballot
    tag = token_tag(ballot.election, ballot.m, ballot.bearer)
    size = said.log.size
    try:
        data = asked.absence(tag)
        if data is not None:
            verify_absence(said.tags.root, said.tags.size, tag, parse_absence(data))
    except (CannotCheck, ProtocolError):
        data = None
    if data is None:
        return f"the final log of {size} is signed, and the server gives no proof of it"
    files.save(beside(looked.receipt, ABSENCE), data)
    return (
        f"the final log of {size} is signed, and proved to have no vote under your tag"
    )


def _growth(looked: Looked) -> str:
    now, seen = looked.head.size, looked.seen
    if seen is None:
        return f"the log has {now} entries without it"
    if now > seen.size:
        return f"the log went on without it from {seen.size} entries to {now}"
    return f"the log still has {now} entries, without it"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
