"""One engine for the tests that do not kill anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.engines import Engine, Engines
from tests.support.faults import Console


@pytest.fixture(scope="package")
def calm(engines: Engines) -> Iterator[Engine]:
    """Groups follow each other, so that a test decides what travels together."""
    with engines.running("faults", groups_in_flight=1) as started:
        yield started


@pytest.fixture(scope="package")
def console(calm: Engine) -> Console:
    return Console(calm.env)
