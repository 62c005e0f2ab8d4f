"""An engine, a closer that may be killed, and a sequencer that is run by hand."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from temporalio.service import RPCError

from tests.support import sequencing
from tests.support.elections import MadeElection
from tests.support.engines import Engine, Engines
from tests.support.faults import Console
from tests.support.processes import Running, eventually, start_worker, stopping
from tests.support.stacks import VOTEPYRAMID
from votepyramid.audit.operators import acting_as
from votepyramid.elections import closing
from votepyramid.elections.closing import Closing
from votepyramid.engine.control import Desk
from workflows import messages as m

TAKEOVER_S = 60
UNCONFIRMED = "no sequencer has confirmed"


@dataclass
class Office:
    """Where an election is closed: the owner's URL, Temporal, a closer."""

    engine: Engine
    election: MadeElection
    desk: Desk
    console: Console
    folder: Path
    workers: list[Running] = field(default_factory=list)

    @property
    def workflow(self) -> str:
        return f"close/{self.election.id}"

    def start_worker(self, *, wait: bool = True, temporal_address: str = "") -> Running:
        """One that closes elections, with the closer's role."""
        url = {"VOTEPYRAMID_DATABASE_URL": self.engine.database.closer_url}
        if temporal_address:
            url["VOTEPYRAMID_TEMPORAL_ADDRESS"] = temporal_address
        name = f"{self.election.id}-{len(self.workers)}"
        worker = start_worker(
            {**self.engine.env, **url},
            self.engine.temporal,
            self.folder,
            name=name,
            roles="closing",
            wait=wait,
        )
        self.workers.append(worker)
        return worker

    def popen(self, *words: str) -> subprocess.Popen[str]:
        owner = {"VOTEPYRAMID_OWNER_DATABASE_URL": self.engine.database.owner_url}
        return subprocess.Popen(
            [VOTEPYRAMID, "election", "close", self.election.id, *words],
            env={**os.environ, **self.engine.env, **owner},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def close(self, *words: str, status: int = 0) -> Any:
        """What the command says with --json."""
        command = self.popen(*words, "--json")
        said, errors = command.communicate(timeout=90)
        assert command.returncode == status, (said, errors)
        return json.loads(said)

    def settle(self) -> Any:
        """What `election settle` says."""
        owner = {"VOTEPYRAMID_OWNER_DATABASE_URL": self.engine.database.owner_url}
        done = subprocess.run(
            [VOTEPYRAMID, "election", "settle", self.election.id, "--json"],
            env={**os.environ, **self.engine.env, **owner},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    def state(self) -> Closing:
        return closing.state(self.election.engine, self.desk, self.election.id)

    def comes_to(self, phase: str, seconds: float = 20) -> Closing:
        """Wait until a worker says that this is where it stands.

        A sequencer confirms the logs on the way to the end, when one is asked to.
        """
        over = phase in (m.FINISHED, m.NOT_ASKED)

        def there() -> bool:
            now = self.state()
            if phase == m.FINISHED and UNCONFIRMED in now.waiting_for:
                self.sequence()
            return now.phase == phase and (now.answering or over)

        assert eventually(there, seconds), self.state()
        return self.state()

    def ask(self, *, early: bool = False) -> None:
        """As the pages do, for ada."""
        by = acting_as(self.election.engine, "ada")
        closing.start_or_join(by, self.desk, self.election.id, early=early)

    def announced(self) -> None:
        """As if the announced time had come, and have the closer look."""
        with self.election.sql() as db:
            db.execute(
                "UPDATE elections SET closes_at = clock_timestamp() WHERE id = %s",
                (self.election.id,),
            )
        self.ask()

    def pass_grace(self) -> None:
        """As if it had been closed so long ago, and have the closer look."""
        self.election.pass_grace()
        self.ask()

    def sequence(self) -> None:
        done = sequencing.log(
            self.engine, self.engine.folder / "checkpoints", "sequence", "--once"
        )
        assert done.returncode == 0, done.stderr

    def status(self) -> str:
        query = "SELECT status FROM elections WHERE id = %s"
        return str(self.election.count(query, self.election.id))

    def by(self, kind: str) -> list[str]:
        """Who is named by the events of a kind."""
        with self.election.sql() as db:
            rows = db.execute(
                "SELECT detail ->> 'by' FROM audit_events "
                "WHERE election = %s AND kind = %s ORDER BY id",
                (self.election.id, kind),
            ).fetchall()
        return [row[0] for row in rows]


@pytest.fixture(scope="package")
def engine(engines: Engines) -> Iterator[Engine]:
    with engines.running("closing", closing_patience=2, operator="ada") as started:
        yield started


@pytest.fixture(scope="package")
def console(engine: Engine) -> Console:
    return Console(engine.env)


@pytest.fixture(scope="package")
def desk(engine: Engine) -> Desk:
    """As the administrators' pages keep one."""
    return Desk(engine.settings)


@pytest.fixture
def office(
    engine: Engine,
    console: Console,
    desk: Desk,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Office]:
    """An election of the test's own, with 5 voters and a grace time of 5 minutes."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:60]
    made = Office(
        engine, engine.make_election(id=name.strip("-")), desk, console, tmp_path
    )
    try:
        yield made
    finally:
        with stopping(*made.workers), suppress(RPCError):
            console.run(console.handle(made.workflow).terminate("test over"))
