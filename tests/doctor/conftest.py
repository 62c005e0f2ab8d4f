"""A worker and its Temporal for all tests; a database and a folder for each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from tests.support.databases import Database
from tests.support.engines import Engine, Engines
from tests.support.processes import eventually
from votepyramid.doctor.commands import doctor
from votepyramid.engine import installation
from votepyramid.settings import Settings


@dataclass
class Site:
    """An installation that is well until a test spoils it. `env` may be changed."""

    database: Database
    temporal: str
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def set(self, **settings: object) -> None:
        for name, value in settings.items():
            self.env[f"VOTEPYRAMID_{name.upper()}"] = str(value)

    def sql(self, *statements: str) -> None:
        """As the superuser, autocommit."""
        with psycopg.connect(self.database.superuser_url, autocommit=True) as db:
            for statement in statements:
                db.execute(statement.encode())

    def ask(self) -> tuple[int, dict[str, Any]]:
        """Exit status, and what `votepyramid doctor --json` says of each check."""
        ran = CliRunner().invoke(doctor, ["--json"], env=self.env)
        checks = json.loads(ran.stdout)["checks"]
        return ran.exit_code, {check["name"]: check for check in checks}


@pytest.fixture(scope="package")
def engine(engines: Engines) -> Iterator[Engine]:
    with engines.running("doctor", webs=0) as started:
        assert eventually(lambda: _scheduled(started.env), 30)
        yield started


def _scheduled(env: Mapping[str, str]) -> bool:
    settings = Settings(
        temporal_address=env["VOTEPYRAMID_TEMPORAL_ADDRESS"],
        upkeep_task_queue=env["VOTEPYRAMID_UPKEEP_TASK_QUEUE"],
        claim_task_queue=env["VOTEPYRAMID_CLAIM_TASK_QUEUE"],
        vote_task_queue=env["VOTEPYRAMID_VOTE_TASK_QUEUE"],
    )
    queues = [
        settings.upkeep_task_queue,
        settings.claim_task_queue,
        settings.vote_task_queue,
    ]
    return installation.archive_schedule(settings) is not None and (
        not installation.unpolled(settings, queues, ())
    )


@pytest.fixture
def site(engine: Engine, database: Database, tmp_path: Path) -> Site:
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    (tmp_path / "exports").mkdir(mode=0o700)
    made = Site(database, engine.temporal.address, tmp_path, dict(engine.env))
    made.set(
        database_url=database.app_url,
        owner_database_url=database.owner_url,
        checkpoint_folder=checkpoints,
        exports_folder=tmp_path / "exports",
    )
    return made
