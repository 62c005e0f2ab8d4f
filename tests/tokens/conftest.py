"""One engine with two web processes, and one long election, for all of these tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.support import databases
from tests.support.elections import SOUTH, Listed, MadeElection
from tests.support.engines import Engine, running
from tests.support.voting import Door
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres

UNFIT = {
    "suspended": Listed("banned", suspended=True),
    "too_young": Listed("kid", age=17),
}
SOUTHERN = Listed("southern", precinct=SOUTH)


@pytest.fixture(scope="package")
def engine(
    postgres: EmbeddedPostgres,
    template: str,
    temporal: DevServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    with (
        databases.fresh(postgres, template) as database,
        running(
            database, temporal, tmp_path_factory.mktemp("tokens"), webs=2
        ) as started,
    ):
        yield started


@pytest.fixture(scope="package")
def election(engine: Engine) -> MadeElection:
    fit = [Listed(f"v{number}") for number in range(60)]
    return engine.make_election(voters=[*fit, *UNFIT.values(), SOUTHERN])


@pytest.fixture(scope="package")
def voters() -> Iterator[str]:
    """Voters who have not been seen yet."""
    return (f"v{number}" for number in itertools.count())


@pytest.fixture
def voter(voters: Iterator[str]) -> str:
    return next(voters)


@pytest.fixture
def doors(engine: Engine, election: MadeElection) -> list[Door]:
    return engine.doors(election)


@pytest.fixture
def door(doors: list[Door]) -> Door:
    return doors[0]
