"""One engine with a Postgres and a Temporal of its own, which can be taken away."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console as Screen

from tests.codec_server import desk
from tests.leaks import administering, failing, opening, refusing
from tests.leaks.scene import BANNED, GOOD, KID, REPLAYED, Scene, start_other
from tests.support import databases, sequencing
from tests.support.elections import Listed
from tests.support.engines import Engine, running
from tests.support.faults import Console
from tests.support.processes import start_admin, stopping
from tests.support.witness import policy, witnessing
from votepyramid.protocol.suites import XWING
from votepyramid.replay import run
from votepyramid.replay.ballots import Ballots
from votepyramid.replay.records import read
from votepyramid.replay.stacks import Target
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.ports import LOOPBACK, free_port
from votepyramid.stack.postgres import EmbeddedPostgres

WARD = Path(__file__).parents[2] / "demo" / "minneapolis-2017-ward-9.csv"
BOUND = 6


@pytest.fixture(scope="package")
def own_postgres(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(
        server_folder / "leaks-postgres", log=server_folder / "leaks-postgres.log"
    )
    server.start()
    databases.make_template(server)
    yield server
    server.stop()


@pytest.fixture(scope="package")
def own_temporal(temporal_cli: Path, server_folder: Path) -> Iterator[DevServer]:
    server = DevServer(
        temporal_cli,
        server_folder / "leaks-temporal",
        log=server_folder / "leaks-temporal.log",
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="package")
def scene(
    own_postgres: EmbeddedPostgres,
    own_temporal: DevServer,
    server_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("leaks")
    with (
        databases.fresh(own_postgres) as database,
        running(
            database,
            own_temporal,
            folder,
            answer_timeout=1.5,
            waiting_bound=BOUND,
            threads=40,
            metrics_dir=folder / "metrics",
        ) as engine,
        _beside(engine, own_postgres) as scene,
        _played(scene),
    ):
        yield scene


@contextmanager
def _beside(engine: Engine, postgres: EmbeddedPostgres) -> Iterator[Scene]:
    """With every process that is not on a vote's way, and two witnesses; the replay
    of an election while they start."""
    folder, url = engine.folder, engine.database.owner_url
    metrics = f"{LOOPBACK}:{free_port()}"
    with witnessing(folder, "w1", "w2") as witnesses:
        for one in witnesses:
            one.find = partial(sequencing.log_key, url)
        sequencer = sequencing.start(
            engine,
            folder / "checkpoints",
            folder / "sequencer.log",
            witness_policy=policy(folder, 1, witnesses),
        )
        admin = start_admin(
            engine.env, engine.database, folder, wait=False, metrics_listen=metrics
        )
        closer = start_other(engine, "closing", engine.database.closer_url, wait=False)
        others = [closer]
        with stopping(sequencer, admin, closer):
            codec_server = desk.start(_bare(engine), folder, "codec-server")
            _replay(engine)
            roster = [Listed(name) for name in GOOD]
            roster += [Listed(BANNED, suspended=True), Listed(KID, age=15)]
            scene = Scene(
                engine,
                engine.make_election(voters=roster),
                Console(engine.env),
                postgres.log,
                postgres,
                sequencer,
                codec_server,
                admin,
                metrics,
                witnesses,
                others,
            )
            for program in (admin, closer):
                program.wait_ready()
            try:
                yield scene
            finally:
                with stopping(codec_server, *others):
                    pass


@contextmanager
def _played(scene: Scene) -> Iterator[None]:
    """Everything that can happen has happened, and one ballot is stuck."""
    door = scene.engine.doors(scene.election)[0]
    administering.people(scene)
    refusing.claims(scene, door)
    refusing.casts(scene, door)
    refusing.elsewhere(scene, door)
    fresh = iter(scene.ballots[5 : len(GOOD)])
    failing.quorum_missed(scene, door, next(fresh))
    refusing.ended(scene, door)
    failing.log_set_aside(scene)
    for fault in (
        failing.worker_killed,
        failing.postgres_away,
        failing.temporal_away,
        failing.kms_away,
    ):
        fault(scene, door, next(fresh))
        failing.ready(door)
    failing.overload(scene, door, [next(fresh) for _ in range(2 * BOUND)])
    failing.web_killed(scene, door, [next(fresh) for _ in range(4)])
    with failing.poison(scene, door, next(fresh), next(fresh)):
        operator = desk.Desk(
            scene.engine,
            scene.election,
            scene.codec_server,
            scene.ballots,
            scene.console,
        )
        administering.rewrapped(scene)
        administering.exported(scene)
        opening.looked(scene, operator)
        opening.refused(scene, operator)
        administering.refused(scene)
        administering.looked(scene)
        administering.removed(scene)
        yield


def _bare(engine: Engine) -> dict[str, str]:
    """As in production: it needs the payload keys, and nothing of the database."""
    return {
        name: value
        for name, value in engine.env.items()
        if not name.endswith(("DATABASE_URL", "KEK_FILE"))
    }


def _replay(engine: Engine) -> None:
    """A real ward's ballots, through the client, counted again at the end."""
    ballots = Ballots(read(WARD), limit=REPLAYED)
    owner = {"VOTEPYRAMID_OWNER_DATABASE_URL": engine.database.owner_url}
    report = run.replay(
        run.Plan(WARD.name, ballots, 4, XWING.id),
        Target(engine.web.url, {**engine.env, **owner}),
        Screen(file=io.StringIO()),
    )
    assert report.differences == []
