"""An election with every refusal and many faults in it, and all that it left behind."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psycopg

from tests.support import histories
from tests.support.elections import MadeElection
from tests.support.engines import Engine
from tests.support.faults import Console
from tests.support.processes import Running, start_worker
from tests.support.scanning import column_texts
from tests.support.voting import Ballot
from tests.support.witness import Witness
from votepyramid.db import make_engine
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol.identifiers import bearer
from votepyramid.stack.postgres import EmbeddedPostgres

GOOD = [f"citizen-ohm-{number}" for number in range(30)]
BANNED, KID, STRANGER = "citizen-banned", "citizen-kid", "citizen-stranger"
VOTERS = [*GOOD, BANNED, KID, STRANGER]
REPLAYED = 24


def start_other(
    engine: Engine, role: str, url: str, *, wait: bool = True, **settings: object
) -> Running:
    """A worker with a role and a database login of its own."""
    ours = {"database_url": url, **settings}
    env = {**engine.env, **{f"VOTEPYRAMID_{k.upper()}": str(ours[k]) for k in ours}}
    return start_worker(
        env, engine.temporal, engine.folder, name=role, roles=role, wait=wait
    )


@dataclass
class Scene:
    """What was done, and all the text it left behind, by name."""

    engine: Engine
    election: MadeElection
    console: Console
    postgres_log: Path
    postgres: EmbeddedPostgres
    sequencer: Running
    codec_server: Running
    admin: Running
    admin_metrics: str
    witnesses: list[Witness]
    # Workers that close elections, rewrap keys and export.
    others: list[Running] = field(default_factory=list)
    # What the administrators' pages showed, by address; secrets of their people.
    pages: dict[str, str] = field(default_factory=dict)
    staff_secrets: list[str] = field(default_factory=list)
    ballots: list[Ballot] = field(default_factory=list)
    jwts: list[str] = field(default_factory=list)
    answers: list[httpx2.Response] = field(default_factory=list)

    def start_other(self, role: str, url: str, **settings: object) -> None:
        """A worker with a role and a database login of its own."""
        self.others.append(start_other(self.engine, role, url, **settings))

    def texts(self) -> Iterator[tuple[str, str]]:
        """All but the database."""
        for kind in ("claim", "vote", "archive", "close", "rewrap", "export"):
            yield from self.workflow_texts(kind)
        yield from self.process_texts()
        yield from self.pages.items()

    @property
    def checkpoints(self) -> Path:
        """Where the sequencer keeps what it signed."""
        return self.engine.folder / "checkpoints"

    @property
    def exports(self) -> Path:
        """Where the exporter writes."""
        return self.engine.folder / "exports"

    def process_texts(self) -> Iterator[tuple[str, str]]:
        """Logs of every process, and what all of them count."""
        ours = (*self.engine.webs, *self.engine.workers, *self.others)
        for program in (*ours, self.sequencer, self.codec_server, self.admin):
            yield f"log of {program.name}", program.log_text()
        for log in (self.engine.temporal.log, self.postgres_log):
            yield f"log {log.name}", log.read_text(errors="replace")
        web = self.engine.web.url
        yield "metrics", httpx2.get(f"{web}/metrics").text
        theirs = f"http://{self.admin_metrics}/metrics"
        yield "metrics of admin", httpx2.get(theirs).text
        yield "health", httpx2.get(f"{web}/health/ready").text

    def workflow_texts(self, kind: str) -> Iterator[tuple[str, str]]:
        """Histories and descriptions of one kind of work: bytes, JSON, and opened."""
        found = histories.executions(self.console)
        ours = [one for one in found if kind in one.workflow_type]
        return histories.texts_of(self.console, ours)

    def columns(self) -> Iterator[tuple[str, str]]:
        """Every column of the database."""
        return column_texts(self.election.database.owner_url)

    def bearers(self) -> list[uuid.UUID]:
        """Every token that was issued, also the replay's, derived as the claim pool
        does."""
        url = self.election.database.owner_url
        with psycopg.connect(url) as db:
            voters = db.execute(
                "SELECT v.election, e.manifest_hash, v.voter_id FROM vote_tokens t "
                "JOIN voters v ON v.ref = t.user JOIN elections e ON e.id = t.election"
            ).fetchall()
        engine = make_engine(url, pool_size=2)
        ring = LocalKeyFile(self.engine.env["VOTEPYRAMID_KEK_FILE"])
        keys = ElectionKeys(ring, engine, 1)
        issuance = {name: keys.issuance(name) for name in {row[0] for row in voters}}
        engine.dispose()
        return [bearer(issuance[e], e, bytes(m), v, 0) for e, m, v in voters]
