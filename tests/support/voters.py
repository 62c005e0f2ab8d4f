"""Fixtures of packages that vote in one long election of one engine.

A package's conftest has `engine` and `election`, with voters "v0", "v1" and so on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.support.elections import MadeElection
from tests.support.engines import Engine
from tests.support.voting import Door


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
