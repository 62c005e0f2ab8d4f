"""One engine for the tests that do not kill anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import databases
from tests.support.engines import Engine, running
from tests.support.faults import Console
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres


@pytest.fixture(scope="package")
def calm(
    postgres: EmbeddedPostgres,
    template: str,
    temporal: DevServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    """Groups follow each other, so that a test decides what travels together."""
    with (
        databases.fresh(postgres, template) as database,
        running(
            database, temporal, tmp_path_factory.mktemp("faults"), groups_in_flight=1
        ) as started,
    ):
        yield started


@pytest.fixture(scope="package")
def console(calm: Engine) -> Console:
    return Console(calm.env)
