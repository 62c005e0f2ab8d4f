"""One engine with two web processes, and one long election, for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.elections import MadeElection
from tests.support.engines import Engine, Engines
from tests.support.voters import door, doors, voter, voters

__all__ = ["door", "doors", "voter", "voters"]

VOTERS = 200


@pytest.fixture(scope="package")
def engine(engines: Engines) -> Iterator[Engine]:
    with engines.running("votes", webs=2) as started:
        yield started


@pytest.fixture(scope="package")
def election(engine: Engine) -> MadeElection:
    return engine.make_election(voters=VOTERS)
