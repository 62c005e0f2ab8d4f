"""An engine, an exporter that may be killed, and a sequencer that is run by hand."""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine as SqlEngine
from temporalio.service import RPCError

from tests.auditors.conftest import verify
from tests.support import sequencing
from tests.support.elections import MadeElection
from tests.support.engines import Engine, Engines
from tests.support.faults import Console
from tests.support.processes import Running, eventually, start_worker, stopping
from votepyramid.audit import asked_exports
from votepyramid.audit.asked_exports import Asked, Made
from votepyramid.audit.operators import acting_as
from votepyramid.auditors import packing
from votepyramid.db import make_engine
from votepyramid.engine import exporting
from votepyramid.engine.control import Desk
from votepyramid.engine.exporting import Told
from workflows import messages as m

# A heartbeat is missed after 15 seconds.
TAKEOVER_S = 60
WAIT_S = 3


@dataclass
class Bureau:
    """Where an election is exported: the pages' role, Temporal, an exporter."""

    engine: Engine
    election: MadeElection
    pages: SqlEngine
    desk: Desk
    console: Console
    folder: Path
    workers: list[Running] = field(default_factory=list)

    @property
    def exports(self) -> Path:
        return self.folder / "exports"

    @property
    def workflow(self) -> str:
        return m.exporting(self.election.id)

    def start_worker(self, *, wait: bool = True, **settings: object) -> Running:
        """One that exports, with the exporter's role."""
        ours = {
            "database_url": self.engine.database.exporter_url,
            "exports_folder": self.exports,
            "export_wait": WAIT_S,
            **settings,
        }
        worker = start_worker(
            {
                **self.engine.env,
                **{f"VOTEPYRAMID_{k.upper()}": str(v) for k, v in ours.items()},
            },
            self.engine.temporal,
            self.folder,
            name=f"exporter-{len(self.workers)}",
            roles="exporting",
            wait=wait,
        )
        self.workers.append(worker)
        return worker

    def cast(self, *voters: str) -> None:
        (door,) = self.engine.doors(self.election)
        for voter in voters:
            assert door.cast(door.ballot(voter)).status_code == 200

    def sequence(self) -> None:
        done = sequencing.log(
            self.engine, self.engine.folder / "checkpoints", "sequence", "--once"
        )
        assert done.returncode == 0, done.stderr

    def ask(self, by: str = "ada") -> None:
        """As the pages do, for somebody."""
        person = acting_as(self.pages, by)
        asked_exports.ask(person, self.desk, self.election.id)

    def ask_only(self, by: str = "ada") -> None:
        """What is asked for stands in the database; no workflow is started."""
        with self.election.sql() as db:
            db.execute(
                "INSERT INTO asked_exports (election, asked_by) VALUES (%s, %s)",
                (self.election.id, by),
            )

    def remove(self, export: uuid.UUID, by: str = "eve") -> None:
        asked_exports.remove(acting_as(self.pages, by), self.desk, export)

    def start(self, tries: int) -> None:
        """The workflow, which then needs attention after so many attempts."""
        started = self.console.client.start_workflow(
            m.EXPORT_ELECTION,
            m.ExportElectionInput(self.election.id, tries),
            id=self.workflow,
            task_queue=self.engine.env["VOTEPYRAMID_EXPORTING_TASK_QUEUE"],
            task_timeout=m.TASK_TIMEOUT,
        )
        self.console.run(started)

    def listed(self) -> list[Asked]:
        with self.pages.connect() as connection:
            found = asked_exports.listed(connection)
        return [one for one in found if one.election == self.election.id]

    def told(self) -> Told:
        return exporting.told(self.desk, self.workflow)

    def progress(self) -> m.ExportProgress:
        """What the worker said last; of nothing while it has not said anything."""
        return self.told().progress or m.ExportProgress("")

    def comes_to(self, what: str, seconds: float = 20) -> None:
        assert eventually(lambda: self.progress().what == what, seconds), self.told()

    def fails_with(self, words: str, seconds: float = 20) -> None:
        """Wait until the last attempt's failure says so."""
        said = eventually(lambda: words in (self.told().failure or ""), seconds)
        assert said, self.told()

    def finished(self, seconds: float = 30) -> Asked:
        """The newest, once it is; its workflow has ended by then, or ends."""
        assert eventually(lambda: bool(self.listed()[0].there), seconds), self.told()
        return self.listed()[0]

    def place(self, export: Asked) -> Path:
        return self.exports / str(export.id)

    def unpacked(self, export: Asked) -> Path:
        """As whoever downloads it has it."""
        packing.check(self.place(export), made(export).sums)
        file = self.folder / f"{export.id}.tar"
        with file.open("wb") as tar:
            for piece in packing.stream(self.place(export), "export"):
                tar.write(piece)
        assert file.stat().st_size == made(export).bytes
        target = self.folder / f"{export.id}.unpacked"
        target.mkdir()
        subprocess.run(["tar", "-xf", file, "-C", target], check=True)
        return target / "export"

    def verified(self, export: Asked) -> None:
        done = verify(self.unpacked(export))
        assert done.returncode == 0, done.stdout + done.stderr

    def events(self, kind: str) -> list[dict[str, Any]]:
        with self.election.sql() as db:
            rows = db.execute(
                "SELECT detail FROM audit_events WHERE election = %s AND kind = %s "
                "ORDER BY id",
                (self.election.id, kind),
            ).fetchall()
        return [row[0] for row in rows]

    def by(self, kind: str) -> list[str]:
        """Who is named by the events of a kind."""
        return [detail["by"] for detail in self.events(kind)]


def made(export: Asked) -> Made:
    """What a finished one came to."""
    assert export.made is not None
    return export.made


@pytest.fixture(scope="package")
def engine(engines: Engines) -> Iterator[Engine]:
    with engines.running("exports") as started:
        yield started


@pytest.fixture(scope="package")
def console(engine: Engine) -> Console:
    return Console(engine.env)


@pytest.fixture(scope="package")
def desk(engine: Engine) -> Desk:
    """As the administrators' pages keep one."""
    return Desk(engine.settings)


@pytest.fixture(scope="package")
def pages(engine: Engine) -> Iterator[SqlEngine]:
    found = make_engine(engine.database.admin_url, pool_size=4)
    yield found
    found.dispose()


@pytest.fixture
def bureau(
    engine: Engine,
    console: Console,
    desk: Desk,
    pages: SqlEngine,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Bureau]:
    """An election of the test's own, and an empty folder of exports."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:60]
    election = engine.make_election(id=name.strip("-"))
    bureau = Bureau(engine, election, pages, desk, console, tmp_path)
    bureau.exports.mkdir(mode=0o700)
    try:
        yield bureau
    finally:
        with stopping(*bureau.workers), suppress(RPCError):
            console.run(console.handle(bureau.workflow).terminate("test over"))
