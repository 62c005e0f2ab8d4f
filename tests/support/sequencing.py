"""The sequencer, run by hand with its own database role."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import psycopg

from tests.support.databases import Database
from tests.support.elections import MadeElection
from tests.support.processes import Running
from tests.support.stacks import VOTEPYRAMID
from votepyramid.audit.entries import entries as events
from votepyramid.db import make_engine
from votepyramid.keys.service import AUDIT_LOG, RECEIPT_LOG
from votepyramid.logs import store
from votepyramid.logs.keeping import Keeping
from votepyramid.logs.sequencer import Sequencer, Source
from votepyramid.logs.store import AUDIT, RECEIPTS, Log
from votepyramid.protocol.checkpoint import Checkpoint, sign_checkpoint
from votepyramid.protocol.notes import VerifierKey
from votepyramid.receipts.entries import entries as leaves
from votepyramid.settings import Settings

SOURCES = {RECEIPTS: Source(RECEIPT_LOG, leaves), AUDIT: Source(AUDIT_LOG, events)}


class Site(Protocol):
    """What a sequencer needs of an engine."""

    @property
    def env(self) -> Mapping[str, str]: ...

    @property
    def database(self) -> Database: ...


def environment(engine: Site, checkpoints: Path, **settings: object) -> dict[str, str]:
    """Of an engine's sequencer, which keeps its checkpoints in that folder."""
    more = {f"VOTEPYRAMID_{name.upper()}": str(v) for name, v in settings.items()}
    return {
        **engine.env,
        **more,
        "VOTEPYRAMID_DATABASE_URL": engine.database.sequencer_url,
        "VOTEPYRAMID_CHECKPOINT_FOLDER": str(checkpoints),
    }


def log(
    engine: Site, checkpoints: Path, *words: str, **settings: object
) -> subprocess.CompletedProcess[str]:
    """`votepyramid log` with these words."""
    return subprocess.run(
        [VOTEPYRAMID, "log", *words],
        env=environment(engine, checkpoints, **settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def start(engine: Site, checkpoints: Path, log: Path, **settings: object) -> Running:
    """A sequencer that runs until it is told to stop, with its log in that file."""
    sequencer = Running(
        log.stem,
        ["log", "sequence"],
        env=environment(engine, checkpoints, **{"log_seconds": "0.2", **settings}),
        log=log,
        ready=lambda: True,
    )
    sequencer.start(wait=False)
    return sequencer


def once(election: MadeElection, checkpoints: Path) -> None:
    """Append all that waits in its database, from within this process."""
    engine = make_engine(election.database.sequencer_url)
    keeping = Keeping(checkpoints)
    try:
        made = Sequencer(engine, election.keys, keeping, SOURCES, Settings())
        made.once()
        assert not made.stopped
    finally:
        engine.dispose()


def log_key(owner_url: str, origin: str) -> VerifierKey | None:
    """The key of any log of a database, as its manifest has it: what witnesses know."""
    with psycopg.connect(owner_url) as db:
        rows = db.execute("SELECT public FROM wrapped_keys").fetchall()
    keys = [VerifierKey.parse(row[0]) for row in rows if row[0]]
    return next((key for key in keys if key.name == origin), None)


def grow(election: MadeElection, checkpoints: Path, entries: Sequence[bytes]) -> None:
    """Append more than a test could cast: any bytes, and a checkpoint over them."""
    log = Log(election.id, RECEIPTS)
    key = election.keys.signer(election.id, RECEIPT_LOG)
    with election.engine.begin() as connection:
        head = store.begin(connection, log)
        head = store.append(connection, log, head, entries)
        at = Checkpoint(key.verifier.name, head.size, head.root)
        note = sign_checkpoint(at, key)
        Keeping(checkpoints).keep(log, note)
        store.publish(connection, log, head.size, note)
