"""A desk for each test, on a database of its own: no web process, no Temporal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.logs.desk import Desk, open_desk
from tests.support.databases import Database


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Iterator[Desk]:
    made = open_desk(database, tmp_path)
    yield made
    made.election.engine.dispose()
