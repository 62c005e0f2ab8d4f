"""One engine, and a sequencer that is run by hand."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import databases, sequencing
from tests.support.elections import MadeElection
from tests.support.engines import Engine, running
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres


@dataclass(frozen=True)
class Office:
    """Where `votepyramid log` is run: with its own role, and its folder."""

    engine: Engine
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        return sequencing.environment(self.engine, self.folder)

    def log(self, *words: str) -> subprocess.CompletedProcess[str]:
        return sequencing.log(self.engine, self.folder, *words)

    def sequence(self) -> None:
        done = self.log("sequence", "--once")
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="package")
def engine(
    postgres: EmbeddedPostgres,
    template: str,
    temporal: DevServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    with (
        databases.fresh(postgres, template) as database,
        running(database, temporal, tmp_path_factory.mktemp("receipts")) as started,
    ):
        yield started


@pytest.fixture(scope="package")
def office(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(engine, tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def election(engine: Engine, request: pytest.FixtureRequest) -> MadeElection:
    """One of the test's own, with 20 voters."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:60]
    return engine.make_election(id=name, voters=20)
