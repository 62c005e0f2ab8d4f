"""An election whose logs are sequenced by hand, on a database of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from sqlalchemy import Engine

from tests.support import sequencing
from tests.support.booth import Booth
from tests.support.databases import Database
from tests.support.elections import MadeElection, make_election
from tests.support.processes import Running
from votepyramid.db import make_engine
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.service import ElectionKeys
from votepyramid.logs.keeping import Keeping
from votepyramid.logs.sequencer import Sequencer
from votepyramid.logs.store import AUDIT, RECEIPTS, Log
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol import merkle
from votepyramid.protocol.checkpoint import Checkpoint, open_checkpoint
from votepyramid.protocol.leaf import leaf_hash
from votepyramid.receipts import commands
from votepyramid.receipts.adopting import SIGNERS
from votepyramid.settings import Settings
from votepyramid.stack import credentials
from votepyramid.stack.children import environment_without


@dataclass(frozen=True)
class Desk:
    """Where `votepyramid log` is run, with a folder of checkpoints."""

    env: Mapping[str, str]
    database: Database
    election: MadeElection
    folder: Path

    @cached_property
    def booth(self) -> Booth:
        return Booth(self.election)

    def elsewhere(self, folder: Path) -> Desk:
        """Another host, with a folder of checkpoints of its own."""
        return replace(self, folder=folder)

    def sequencer(self, engine: Engine, *kinds: str) -> Sequencer:
        """One in this process, to be stepped by hand; of some kinds of logs, or all."""
        keys = ElectionKeys(LocalKeyFile(self.env["VOTEPYRAMID_KEK_FILE"]), engine, 9)
        sources = {
            kind: sequencing.SOURCES[kind] for kind in kinds or sequencing.SOURCES
        }
        return Sequencer(engine, keys, Keeping(self.folder), sources, Settings())

    def sequence(self) -> dict[str, str]:
        """Append all that waits; why logs were set aside, by kind."""
        engine = make_engine(self.database.sequencer_url)
        try:
            sequencer = self.sequencer(engine)
            sequencer.once()
        finally:
            engine.dispose()
        return {each.kind: why for each, why in sequencer.stopped.items()}

    def start(self, log: Path, **settings: object) -> Running:
        """A process that runs until it is told to stop."""
        return sequencing.start(self, self.folder, log, **settings)

    def command(self, *words: str) -> tuple[int, str]:
        """Exit status of `votepyramid log` with these words, and what it says."""
        env = sequencing.environment(
            self, self.folder, owner_database_url=self.database.owner_url
        )
        ran = CliRunner().invoke(commands.log, [*words], env=env)
        if ran.exception is not None and not isinstance(ran.exception, SystemExit):
            raise ran.exception
        return ran.exit_code, ran.output

    def adopt(self, kind: str, *files: Path) -> tuple[int, str]:
        return self.command("adopt", self.election.id, kind, *map(str, files))

    def stopped(self, kind: str = RECEIPTS) -> str | None:
        """Why `log status` says that a log was set aside."""
        found = json.loads(self.command("status", "--json")[1])
        reason: str | None = {one["kind"]: one["stopped"] for one in found}[kind]
        return reason

    def lose(self, *kinds: str) -> None:
        """As if the folder were another one."""
        for kind in kinds or (RECEIPTS, AUDIT):
            self.file(kind).unlink()

    def file(self, kind: str = RECEIPTS) -> Path:
        return self.folder / f"{self.election.id}.{kind}.checkpoint"

    def kept(self, kind: str = RECEIPTS) -> Checkpoint:
        note = Keeping(self.folder).read(Log(self.election.id, kind))
        assert note is not None
        return self.opened(note, kind)

    def note(self, kind: str = RECEIPTS) -> str:
        """What is public."""
        return str(self._head("checkpoint", kind))

    def public(self, kind: str = RECEIPTS) -> Checkpoint:
        return self.opened(self.note(kind), kind)

    def opened(self, note: str, kind: str = RECEIPTS) -> Checkpoint:
        key = manifests.signer(self.election.manifest, SIGNERS[kind])
        return open_checkpoint(note, key.name, key)

    def size(self, kind: str = RECEIPTS) -> int:
        """Of what is appended, public or not."""
        return int(self._head("size", kind) or 0)

    def shown(self, kind: str = RECEIPTS) -> int:
        """The size of what is public."""
        return int(self._head("checkpoint_size", kind) or 0)

    def _head(self, column: str, kind: str) -> Any:
        query = f"SELECT {column} FROM log_heads WHERE election = %s AND kind = %s"
        return self.election.count(query, self.election.id, kind)

    def entries(self, kind: str = RECEIPTS) -> list[bytes]:
        """Leaf hashes of the log, in its order."""
        with self.election.sql() as db:
            rows = db.execute(
                "SELECT entry FROM log_entries WHERE election = %s AND kind = %s "
                "ORDER BY index",
                (self.election.id, kind),
            ).fetchall()
        return [leaf_hash(row[0]) for row in rows]

    def whole(self, *receipts: str, earlier: Checkpoint | None = None) -> None:
        """The log has these receipts, each once, and goes on from what was public."""
        hashes, public = self.entries(), self.public()
        assert sorted(one.hex() for one in hashes) == sorted(receipts)
        assert (public.size, public.root) == (len(hashes), merkle.root(hashes))
        assert self.kept() == public
        if earlier is not None:
            assert merkle.root(hashes[: earlier.size]) == earlier.root


def open_desk(database: Database, folder: Path, voters: int = 12) -> Desk:
    """With an election that is open."""
    made = credentials.make(folder / "secrets")
    env = environment_without("VOTEPYRAMID_")
    env |= {f"VOTEPYRAMID_{name.upper()}": value for name, value in made.items()}
    env |= {"VOTEPYRAMID_ENVIRONMENT": "development"}
    election = make_election(database, env, voters=voters)
    return Desk(env, database, election, folder / "checkpoints")
