"""`audit export`: everything an auditor needs to check an election without the engine.

    election.json               which election, whose authority, and what was counted
    manifest.json               the signed manifest: rules, policy, public keys
    receipt-log/, audit-log/    the published logs as files: checkpoint, tile/… (C2SP
                                tlog-tiles)
    receipts/                   every accepted vote's receipt, in the order of hashes
    ballots/                    the ballots of these votes as they are stored, sealed
    witness-policy              who has to cosign a checkpoint, where somebody has to
    statements/                 what the engine signed about the whole election
    histories/                  every workflow's history (see engine/histories.py)

What happened before it began is waited for until it is in the logs. Then the tables are
read in one transaction, so that counts, receipts, ballots and logs are of one moment.
Histories come after it: of an election that still runs they say more.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text

from votepyramid.audit import archive, exports
from votepyramid.audit.archive import Kept
from votepyramid.audit.models import AuditEvent
from votepyramid.auditors import stored
from votepyramid.auditors.case import Tell
from votepyramid.auditors.catching_up import unlogged, wait_for_logs
from votepyramid.auditors.folder import POLICY, FolderError, Writing
from votepyramid.auditors.gathering import PREFIX, Due, Gathering, Lacking, due
from votepyramid.elections import finishing
from votepyramid.elections import service as elections
from votepyramid.elections.counting import count
from votepyramid.elections.service import OVER, ElectionView
from votepyramid.engine.histories import PAGE
from votepyramid.keys.service import ElectionKeys
from votepyramid.logs import store
from votepyramid.logs.cosigning import read_policy
from votepyramid.logs.models import LogQueue
from votepyramid.logs.store import Log
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.notes import SigningKey
from votepyramid.protocol.tiles import (
    Bundle,
    Tile,
    bundle_bytes,
    bundles_of_growth,
    fetch_tiles,
    tiles_of_growth,
)
from votepyramid.settings import Settings
from votepyramid.votes.models import VoteSubmission

LOGS = {"receipts": "receipt-log", "audit": "audit-log"}
CLOSING = "statements/closing"
# A process verifies a file at a time: a quarter of a second.
RECEIPTS_A_FILE = 2_500
TILES_A_QUERY = 64
# Temporal lists a workflow some seconds after it began.
WAIT_S = 60.0


@dataclass(frozen=True)
class Exported:
    """Where the election stood when its tables were read; how many files its export
    has, the SHA-256 of their list as hex, of how many votes and tokens no history; how
    many entries are in no published log yet that ought to be, and of which votes the
    stored ballot does not open."""

    status: str
    files: int
    sums: str
    lacking: Lacking
    waiting: int
    unopened: stored.Unopened

    @property
    def wanting(self) -> exports.Wanting:
        """The same as numbers."""
        return exports.Wanting(int(self.lacking), self.waiting, self.unopened.count)


@dataclass(frozen=True)
class _Read:
    """What was read of the tables, and what histories must tell of."""

    view: ElectionView
    signer: SigningKey
    due: Due
    unlogged: int
    unopened: stored.Unopened


def export(
    engine: Engine,
    keys: ElectionKeys,
    settings: Settings,
    election: str,
    folder: Path,
    tell: Tell,
    wait: float = WAIT_S,
    page: int = PAGE,
) -> Exported:
    """Write an election's export as `write` does, and note so in the audit trail.

    Runs as the owner role.
    """
    done = write(engine, keys, settings, election, folder, tell, wait, page)
    with engine.begin() as connection:
        note(connection, election, done)
    return done


def note(connection: Connection, election: str, done: Exported) -> None:
    """Append the event of a finished export."""
    noted = {"status": done.status, "sums": done.sums}
    exports.note(connection, election, **noted, wanting=done.wanting)


def write(
    engine: Engine,
    keys: ElectionKeys,
    settings: Settings,
    election: str,
    folder: Path,
    tell: Tell,
    wait: float = WAIT_S,
    page: int = PAGE,
) -> Exported:
    """Write an election's export and seal it.

    Run again after it was cut off, it goes on: histories that were written are not
    fetched again. The logs, and then histories that are lacking, are waited for, up to
    `wait` seconds each; without them it is sealed all the same. Temporal lists `page`
    workflows at a time. Raises Refused(ELECTION_UNKNOWN), FolderError, TemporalAway,
    KeyProviderError, SettingsError, what the database raises, and what `tell` does.
    """
    out = Writing(folder, election)
    policy = _policy(settings)
    behind = wait_for_logs(engine, election, wait, tell)
    read = _tables(engine, keys, out, election, policy, tell)
    # What Temporal still has of an unlinked election names voters by reference.
    if read.view.status == "unlinked":
        out.keep_only(PREFIX, set())
        lacking = Lacking()
    else:
        gathering = Gathering(settings, election, out, tell, page)
        with engine.connect() as connection:
            archived = _archived(connection, election)
            lacking = gathering.gather(archived, read.due, wait)
    tell("list of hashes", 0, 0)
    view = read.view
    origin, _ = manifests.receipt_key(view.manifest)
    made = out.seal(origin, view.manifest_hash, read.signer)
    waiting = read.unlogged if view.status in OVER else behind
    return Exported(view.status, made.files, made.sums, lacking, waiting, read.unopened)


def _policy(settings: Settings) -> bytes | None:
    if not settings.witness_policy:
        return None
    return read_policy(Path(settings.witness_policy)).data()


def _tables(
    engine: Engine,
    keys: ElectionKeys,
    out: Writing,
    election: str,
    policy: bytes | None,
    tell: Tell,
) -> _Read:
    with engine.connect() as opened:
        connection = opened.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        _be_patient(connection)
        view = elections.get(connection, election)
        signer = _signer(keys, view)
        _papers(connection, out, view, policy)
        for kind, name in LOGS.items():
            _log(connection, out, Log(election, kind), name, tell)
        _receipts(connection, out, election, tell)
        unopened = stored.write(connection, keys, out, election, tell)
        wanted = due(connection, election)
        return _Read(view, signer, wanted, unlogged(connection, election), unopened)


def _archived(connection: Connection, election: str) -> Iterator[Kept]:
    """In a transaction that begins when the first is asked for."""
    _be_patient(connection)
    yield from archive.histories(connection, election)


def _be_patient(connection: Connection) -> None:
    """In this transaction: what is read is written to a disk in between."""
    for patience in ("statement_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(text(f"SET LOCAL {patience} = '30min'"))


def _signer(keys: ElectionKeys, view: ElectionView) -> SigningKey:
    try:
        manifests.signer(view.manifest, "statements")
    except manifests.ManifestError:
        raise FolderError(
            f"the manifest of election {view.id!r} names no key for statements, being "
            "older than they are: nobody could check who made its export"
        ) from None
    return keys.signer(view.id, "statements")


def _papers(
    connection: Connection, out: Writing, view: ElectionView, policy: bytes | None
) -> None:
    about = {
        "authority": view.authority,
        "counts": _counts(connection, view.id),
        "id": view.id,
        "manifest_hash": view.manifest_hash.hex(),
        "status": view.status,
        "v": 1,
    }
    # Before any other file: by it a folder that was left half written is recognised.
    out.write("election.json", json.dumps(about, indent=1).encode() + b"\n")
    out.write("manifest.json", view.signed_manifest.encode())
    closing = finishing.closing(connection, view.id)
    _write_or_remove(out, CLOSING, closing.encode() if closing is not None else None)
    _write_or_remove(out, POLICY, policy)


def _write_or_remove(out: Writing, name: str, data: bytes | None) -> None:
    """An earlier attempt may have written what is not there any more."""
    if data is not None:
        out.write(name, data)
    else:
        out.keep_only(name, set())


def _counts(connection: Connection, election: str) -> dict[str, Any]:
    events = connection.execute(
        select(AuditEvent.kind, func.count())
        .where(AuditEvent.election == election)
        .group_by(AuditEvent.kind)
    )
    return {
        **asdict(count(connection, election)),
        "events": dict(sorted(tuple(row) for row in events)),
        # Of each log: entries that are in no published checkpoint yet.
        "unpublished": {
            name: _unpublished(connection, Log(election, kind))
            for kind, name in LOGS.items()
        },
    }


def _unpublished(connection: Connection, log: Log) -> int:
    waiting = connection.scalar(
        select(func.count()).select_from(LogQueue).where(*store.of(LogQueue, log))
    )
    head = store.head(connection, log)
    appended = head.size - head.checkpoint_size if head else 0
    return (waiting or 0) + appended


def _log(connection: Connection, out: Writing, log: Log, name: str, tell: Tell) -> None:
    """The log as of its published checkpoint; nothing when there is none yet."""
    head = store.head(connection, log)
    if head is None or head.checkpoint is None:
        out.keep_only(f"{name}/", set())
        return
    size = head.checkpoint_size
    tiles = tiles_of_growth(0, size)
    bundles = bundles_of_growth(0, size)
    written = {f"{name}/checkpoint"}
    done = itertools.count(1)
    for path, content in _files(connection, log, tiles, bundles):
        out.write(f"{name}/{path}", content)
        written.add(f"{name}/{path}")
        tell(name, next(done), len(tiles) + len(bundles))
    out.write(f"{name}/checkpoint", head.checkpoint.encode())
    # Partial tiles of an attempt that was cut off, when the log was shorter.
    out.keep_only(f"{name}/", written)


def _files(
    connection: Connection, log: Log, tiles: list[Tile], bundles: list[Bundle]
) -> Iterator[tuple[str, bytes]]:
    fetch = store.fetching(connection, log)
    for begin in range(0, len(tiles), TILES_A_QUERY):
        some = tiles[begin : begin + TILES_A_QUERY]
        for tile, content in zip(some, fetch_tiles(some, fetch), strict=True):
            yield tile.path, content
    for bundle in bundles:
        end = bundle.begin + bundle.width
        entries = store.entries(connection, log, bundle.begin, end)
        yield bundle.path, bundle_bytes(entries)


def _receipts(connection: Connection, out: Writing, election: str, tell: Tell) -> None:
    """In the order of their hashes, which says nothing of when they were cast."""
    rows = connection.execution_options(yield_per=RECEIPTS_A_FILE).execute(
        select(VoteSubmission.receipt)
        .where(VoteSubmission.election == election, VoteSubmission.status == "accepted")
        .order_by(VoteSubmission.receipt_hash)
    )
    written: set[str] = set()
    for number, part in enumerate(rows.partitions()):
        name = f"receipts/{number:05}.jsonl.gz"
        lines = "".join(f"{row.receipt}\n" for row in part)
        out.write(name, gzip.compress(lines.encode(), 1, mtime=0))
        written.add(name)
        tell("receipts", number * RECEIPTS_A_FILE + len(part), 0)
    out.keep_only("receipts/", written)
