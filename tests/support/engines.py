"""A running engine: web processes and a worker on one database and one Temporal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support import databases
from tests.support.databases import Database
from tests.support.elections import MadeElection, make_election
from tests.support.processes import (
    Running,
    environment,
    start_web,
    start_worker,
    stopping,
)
from tests.support.voting import Door
from votepyramid.settings import ENVIRONMENT_PREFIX, Settings
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres


@dataclass
class Engine:
    """Web processes and workers that share settings; all can be started anew."""

    env: Mapping[str, str]
    database: Database
    temporal: DevServer
    folder: Path
    webs: list[Running] = field(default_factory=list)
    workers: list[Running] = field(default_factory=list)
    _started: int = 0

    def start_web(self, *, wait: bool = True) -> Running:
        self._started += 1
        name = f"web-{self._started}"
        web = start_web(self.env, self.folder, name=name, wait=wait)
        self.webs.append(web)
        return web

    def start_worker(self, *, wait: bool = True) -> Running:
        self._started += 1
        name = f"worker-{self._started}"
        worker = start_worker(
            self.env, self.temporal, self.folder, name=name, wait=wait
        )
        self.workers.append(worker)
        return worker

    @property
    def settings(self) -> Settings:
        """What its processes read out of their environment."""
        given = {
            f"votepyramid.{name.removeprefix(ENVIRONMENT_PREFIX).lower()}": value
            for name, value in self.env.items()
            if name.startswith(ENVIRONMENT_PREFIX)
        }
        return Settings.load(given)

    @property
    def web(self) -> Running:
        return next(web for web in self.webs if web.alive())

    @property
    def worker(self) -> Running:
        return next(worker for worker in self.workers if worker.alive())

    def doors(self, election: MadeElection) -> list[Door]:
        """One for each web process that runs."""
        return [Door(web.url, election) for web in self.webs if web.alive()]

    def restart(self) -> None:
        """Stop every process in good order and start as many anew."""
        webs = [web for web in self.webs if web.alive()]
        workers = [worker for worker in self.workers if worker.alive()]
        for program in (*webs, *workers):
            assert program.terminate() == 0, program.log_text()
        for _ in workers:
            self.start_worker()
        for _ in webs:
            self.start_web()

    def make_election(self, **options: Any) -> MadeElection:
        return make_election(self.database, self.env, **options)

    def log_text(self) -> str:
        """All that the processes have written so far."""
        return "".join(one.log_text() for one in (*self.webs, *self.workers))


@contextmanager
def running(
    database: Database,
    temporal: DevServer,
    folder: Path,
    *,
    webs: int = 1,
    workers: int = 1,
    **settings: Any,
) -> Iterator[Engine]:
    """An engine that is up, and stopped afterwards whatever happens."""
    env = environment(database, temporal, folder, **settings)
    engine = Engine(env, database, temporal, folder)
    try:
        started = [engine.start_worker(wait=False) for _ in range(workers)]
        started += [engine.start_web(wait=False) for _ in range(webs)]
        for program in started:
            program.wait_ready()
        yield engine
    finally:
        with stopping(*engine.webs, *engine.workers):
            pass


@dataclass(frozen=True)
class Engines:
    """Starts engines that have a database and a folder of their own."""

    postgres: EmbeddedPostgres
    temporal: DevServer
    folders: pytest.TempPathFactory

    @contextmanager
    def running(self, name: str, **options: Any) -> Iterator[Engine]:
        """One on a fresh database; `options` are those of `running` above."""
        folder = self.folders.mktemp(name)
        with (
            databases.fresh(self.postgres) as database,
            running(database, self.temporal, folder, **options) as engine,
        ):
            yield engine
