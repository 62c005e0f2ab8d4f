"""One engine, and a sequencer that is run by hand."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.receipts.reading import Reader
from tests.support import sequencing, tampering
from tests.support.elections import MadeElection
from tests.support.engines import Engine, Engines
from tests.support.processes import Running
from tests.verifiers.aics import tool
from tests.verifiers.judging import judge
from votepyramid.protocol.notes import VerifierKey

__all__ = ["judge", "tool"]


@dataclass(frozen=True)
class Office:
    """Where `votepyramid log` is run: with its own role, and its folder."""

    engine: Engine
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        return sequencing.environment(self.engine, self.folder)

    def log(self, *words: str, **settings: object) -> subprocess.CompletedProcess[str]:
        return sequencing.log(self.engine, self.folder, *words, **settings)

    def start(self, log: Path, **settings: object) -> Running:
        """A sequencer that runs until it is told to stop."""
        return sequencing.start(self.engine, self.folder, log, **settings)

    def forget(self, election: str) -> None:
        """Let the other tests' sequencing go on."""
        tampering.forget(self.owner_url, self.folder, election)

    def log_key(self, origin: str) -> VerifierKey | None:
        """The key of any log of this database, as its manifest has it."""
        return sequencing.log_key(self.owner_url, origin)

    @property
    def owner_url(self) -> str:
        """Above every grant of ours."""
        return self.engine.database.owner_url

    def sequence(self) -> None:
        done = self.log("sequence", "--once")
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="package")
def engine(engines: Engines) -> Iterator[Engine]:
    with engines.running("receipts") as started:
        yield started


@pytest.fixture(scope="package")
def office(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(engine, tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def election(engine: Engine, request: pytest.FixtureRequest) -> MadeElection:
    """One of the test's own, with 20 voters."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:60]
    return engine.make_election(id=name, voters=20)


@pytest.fixture
def reader(engine: Engine, election: MadeElection) -> Reader:
    return Reader(engine.doors(election)[0])
