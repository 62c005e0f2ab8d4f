"""One running engine for the questions that do not hurt it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.support.elections import MadeElection
from tests.support.engines import Engine, Engines, running
from tests.support.processes import Running
from tests.support.voting import Door


@dataclass(frozen=True)
class Widowed:
    """A web process whose only worker was killed, at `since` of the monotonic clock."""

    web: Running
    since: float


@dataclass(frozen=True)
class Site:
    """An engine with an election that is open, one to come and one that is over."""

    engine: Engine
    election: MadeElection
    later: MadeElection
    over: MadeElection
    widowed: Widowed
    checkpoints: Path

    @property
    def url(self) -> str:
        return self.engine.web.url

    @property
    def door(self) -> Door:
        return Door(self.url, self.election)


@pytest.fixture(scope="package")
def site(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A web process and a worker; voters "v0" to "v299"."""
    other = tmp_path_factory.mktemp("widowed")
    with (
        engines.running("site") as engine,
        running(engine.database, engine.temporal, other) as left,
    ):
        ready = httpx2.get(f"{left.web.url}/health/ready")
        assert ready.status_code == 200, ready.text
        left.worker.kill()
        widowed = Widowed(left.web, time.monotonic())
        election = engine.make_election(voters=300)
        later = engine.make_election(id="later", opens_in=3600)
        over = engine.make_election(id="over", voters=2, grace=0)
        over.close()
        checkpoints = tmp_path_factory.mktemp("checkpoints")
        yield Site(engine, election, later, over, widowed, checkpoints)


@pytest.fixture
def http(site: Site) -> Iterator[httpx2.Client]:
    """A plain client of the web process."""
    with httpx2.Client(base_url=site.url, timeout=30) as client:
        yield client
