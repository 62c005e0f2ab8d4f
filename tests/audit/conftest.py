"""The operator's office, on a database of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.elections.ceremonies import Office
from tests.elections.ceremonies import office as make_office
from tests.support.databases import Database


@pytest.fixture
def office(database: Database) -> Iterator[Office]:
    with make_office(database) as made:
        yield made
