"""The servers that are measured: production's parts on one machine.

Debian's PostgreSQL with fsync on holds the votes and Temporal's own tables;
`temporal-server` runs on it; each engine is one web process of the cast pool and its
worker processes; the textbook has a worker process of its own.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import election
from bench.cpu import Parts
from bench.election import Prepared
from bench.temporal_server import TemporalServer
from votepyramid.stack import credentials, migrations, temporal
from votepyramid.stack.children import Child, environment_without
from votepyramid.stack.layout import ROOT, Layout
from votepyramid.stack.ports import LOOPBACK, free_port
from votepyramid.stack.postgres import DebianPostgres
from votepyramid.stack.program import Program, http_status
from votepyramid.stack.progress import Progress
from votepyramid.stack.supervisor import Supervisor, stopping_on_signals

# Everything else is PostgreSQL's default: fsync, full_page_writes and autovacuum on.
POSTGRES_SETTINGS = {
    "synchronous_commit": "on",
    "shared_buffers": "1GB",
    "effective_cache_size": "4GB",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
}
TEMPORAL_SHARDS = 4
TEMPORAL_CONNECTIONS = 40
TEMPORAL_SETTINGS: dict[str, object] = {
    # Rate limits out of the way: they are for many tenants, not for one machine.
    "frontend.rps": 100_000,
    "frontend.namespaceRPS": 100_000,
    "history.rps": 100_000,
    "matching.rps": 100_000,
    "frontend.persistenceMaxQPS": 100_000,
    "history.persistenceMaxQPS": 100_000,
    "matching.persistenceMaxQPS": 100_000,
    # The textbook's regular activities start without a second trip to a queue.
    "system.enableActivityEagerExecution": True,
}
_READY_SECONDS = 90.0


@dataclass(frozen=True)
class Variant:
    """One engine: settings that differ from the defaults, its code, its processes."""

    name: str = "engine"
    settings: Mapping[str, str] = field(default_factory=dict)
    code: Path = ROOT
    workers: int = 1


@dataclass(frozen=True)
class Engine:
    """A running engine: the port of its door, its processes."""

    name: str
    port: int
    parts: Parts


class TextbookWorker(Child):
    """A worker process of the textbook."""

    def __init__(
        self, pollers: int, env: Mapping[str, str], log: Path, record: Path
    ) -> None:
        super().__init__(log, record)
        self._pollers = pollers
        self._env = dict(env)

    def start(self) -> None:
        self._spawn(
            [sys.executable, "-m", "bench.textbook.worker", str(self._pollers)],
            env=self._env,
            cwd=ROOT,
        )
        self._wait_ready(
            "The textbook's worker",
            lambda: "polling" in self.log.read_text(),
            _READY_SECONDS,
        )


class BenchStack:
    """Everything that runs during a bench. Made by `running`."""

    def __init__(
        self, layout: Layout, progress: Progress, supervisor: Supervisor
    ) -> None:
        self.layout = layout
        self._progress = progress
        self._supervisor = supervisor
        self._settings: dict[str, str] = {}
        self._parts: Parts = {}
        self.postgres = DebianPostgres(
            layout.postgres_home(),
            secrets_file=layout.secrets / "postgres.json",
            log=layout.logs / "postgres.log",
            settings=POSTGRES_SETTINGS,
        )

    def start_servers(self, programs: Mapping[str, Path]) -> None:
        """Postgres, schema and Temporal."""
        with self._progress.step("PostgreSQL") as step:
            self._supervisor.start("postgres", self.postgres)
            migrations.upgrade(self.postgres.owner_url)
            step.detail = f"on {LOOPBACK}:{self.postgres.port}"
        server = TemporalServer(
            programs,
            self.postgres,
            self.layout.temporal,
            log=self.layout.logs / "temporal.log",
            record=self.layout.record("temporal"),
            shards=TEMPORAL_SHARDS,
            connections=TEMPORAL_CONNECTIONS,
            dynamic=TEMPORAL_SETTINGS,
        )
        with self._progress.step("temporal-server") as step:
            self._supervisor.start("temporal", server)
            step.detail = f"on {server.address}"
        self._parts = {"postgres": [_pid(self.postgres)], "temporal": [_pid(server)]}
        self._settings = {
            "environment": "production",
            "roles": "cast",
            "database_url": self.postgres.app_url,
            "temporal_address": server.address,
            **credentials.make(self.layout.secrets),
        }

    def prepare_election(self, voters: int) -> Prepared:
        """The election, its roster, and a token for each of `voters`."""
        with self._progress.step("Election") as step:
            made = election.prepare(
                self.postgres.owner_url,
                self._settings["kek_file"],
                self.layout.secrets,
                voters,
            )
            step.detail = f"{voters} voters, each with a token"
        return made

    def start_engine(self, variant: Variant) -> Engine:
        """One web process and its workers, on a task queue of their own."""
        name = variant.name
        settings = {
            "vote_task_queue": f"votes-{name}",
            "metrics_dir": str(self.layout.metrics / name),
            **variant.settings,
        }
        env = self.environment(settings) | {"PYTHONPATH": str(variant.code)}
        workers = [
            self._program(f"{name} worker {number}", ["worker"], env, variant.code)
            for number in range(1, variant.workers + 1)
        ]
        port = free_port()
        arguments = ["serve", "development.ini", "--listen", f"{LOOPBACK}:{port}"]
        web = self._program(
            f"{name} web", arguments, env, variant.code, ready=f"{port}/health/ready"
        )
        with self._progress.step(name) as step:
            for number, worker in enumerate(workers, 1):
                self._supervisor.start(f"{name} worker {number}", worker)
            self._supervisor.start(f"{name} web", web)
            step.detail = f"1 web process, {variant.workers} worker"
        mine = {"web": [_pid(web)], "worker": [_pid(worker) for worker in workers]}
        return Engine(name, port, {**self._parts, **mine})

    def start_textbook(self, workers: int, pollers: int) -> Parts:
        """The textbook's worker processes; its parts."""
        env = self.environment({})
        running = []
        with self._progress.step("Textbook") as step:
            for number in range(1, workers + 1):
                name = f"textbook-{number}"
                log, record = self.layout.logs / f"{name}.log", self.layout.record(name)
                running.append(TextbookWorker(pollers, env, log, record))
                self._supervisor.start(f"textbook worker {number}", running[-1])
            step.detail = f"{workers} worker, {pollers} pollers of each kind"
        return {**self._parts, "textbook worker": [_pid(one) for one in running]}

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Of one process: ours without any VOTEPYRAMID_ of the shell, and these."""
        wanted = {**self._settings, **settings}
        clean = environment_without("VOTEPYRAMID_")
        return clean | {f"VOTEPYRAMID_{k.upper()}": v for k, v in wanted.items()}

    def program(
        self,
        name: str,
        arguments: list[str],
        settings: Mapping[str, str],
        ready: str = "",
    ) -> Program:
        """A `votepyramid` process of this checkout, not started yet.

        `ready` is a port and a path that answers 200, such as `7001/health/live`.
        """
        return self._program(name, arguments, self.environment(settings), ROOT, ready)

    def _program(
        self,
        name: str,
        arguments: list[str],
        env: dict[str, str],
        code: Path,
        ready: str = "",
    ) -> Program:
        file = name.replace(" ", "-")
        port, _, path = ready.partition("/")
        return Program(
            name,
            arguments,
            env=env,
            log=self.layout.logs / f"{file}.log",
            record=self.layout.record(file),
            cwd=code,
            ready=lambda: not ready or http_status(int(port), f"/{path}") == 200,
            start_seconds=_READY_SECONDS,
        )


@contextmanager
def running(state: Path, progress: Progress) -> Iterator[BenchStack]:
    """A stack on a fresh state folder, stopped and thrown away at the end.

    Logs stay in the folder. Within, Ctrl-C raises children.Interrupted at the next
    wait. Raises StackError when another bench runs there or a part is missing.
    """
    layout = Layout(state)
    layout.make()
    with layout.locked():
        layout.stop_orphans()
        _throw_away(layout)
        layout.make()
        with stopping_on_signals():
            supervisor = Supervisor(layout, progress)
            stack = BenchStack(layout, progress, supervisor)
            stack.postgres.stop_orphan()
            try:
                yield stack
            finally:
                supervisor.stop()
                _throw_away(layout, logs=False)


def find_programs(progress: Progress) -> dict[str, Path]:
    """Temporal's programs, built first if need be."""
    return temporal.find_server(progress.say)


def _throw_away(layout: Layout, *, logs: bool = True) -> None:
    folders = [layout.postgres_home(), layout.temporal, layout.secrets, layout.metrics]
    for folder in folders + ([layout.logs] if logs else []):
        shutil.rmtree(folder, ignore_errors=True)


def _pid(part: Child) -> int:
    assert part.pid is not None
    return part.pid
