"""One engine with two web processes, and one long election, for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.elections import SOUTH, Listed, MadeElection
from tests.support.engines import Engine, Engines
from tests.support.voters import door, doors, voter, voters

__all__ = ["door", "doors", "voter", "voters"]

UNFIT = {
    "suspended": Listed("banned", suspended=True),
    "too_young": Listed("kid", age=17),
}
SOUTHERN = Listed("southern", precinct=SOUTH)


@pytest.fixture(scope="package")
def engine(engines: Engines) -> Iterator[Engine]:
    with engines.running("tokens", webs=2) as started:
        yield started


@pytest.fixture(scope="package")
def election(engine: Engine) -> MadeElection:
    fit = [Listed(f"v{number}") for number in range(60)]
    return engine.make_election(voters=[*fit, *UNFIT.values(), SOUTHERN])
