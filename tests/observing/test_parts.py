"""What is counted of connections and of the key provider, also when they fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tests.support.databases import Database
from votepyramid.db import make_engine
from votepyramid.keys import providers
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.provider import KekGone, WrongContext
from votepyramid.settings import Settings
from votepyramid.stack.ports import LOOPBACK, free_port

NAME = "measured-by-a-test"


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def used() -> float:
    return value("votepyramid_database_connections_used", pool=NAME)


def failures(problem: str) -> float:
    name = "votepyramid_database_connection_failures_total"
    return value(name, pool=NAME, problem=problem)


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    made = make_engine(database.app_url, pool_size=1, application_name=NAME)
    made.pool._timeout = 0.1  # type: ignore[attr-defined]
    yield made
    made.dispose()


def test_connections_in_use(engine: Engine) -> None:
    assert value("votepyramid_database_connections_limit", pool=NAME) == 1
    before, waited = (
        failures("none free"),
        "votepyramid_database_connection_wait_seconds",
    )
    count = value(f"{waited}_count", pool=NAME)
    with engine.connect():
        assert used() == 1
        with pytest.raises(PoolTimeout), engine.connect():
            pass
        assert used() == 1
    assert used() == 0
    assert failures("none free") == before + 1
    assert value(f"{waited}_count", pool=NAME) == count + 2
    assert value(f"{waited}_sum", pool=NAME) > 0.1


def test_a_connection_that_is_cut(engine: Engine, database: Database) -> None:
    with engine.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        other = make_engine(database.superuser_url)
        with other.connect() as killer:
            killer.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        other.dispose()
        with pytest.raises(DBAPIError):
            connection.execute(text("SELECT 1"))
    assert used() == 0
    with engine.connect() as connection:
        assert used() == 1
    assert used() == 0


def test_a_database_that_is_away() -> None:
    url = f"postgresql://x:x@{LOOPBACK}:{free_port()}/x"
    engine, before = make_engine(url, application_name=NAME), failures("refused")
    for again in (1, 2):
        with pytest.raises(OperationalError), engine.connect():
            pass
        assert failures("refused") == before + again
    assert used() == 0


def test_the_key_provider(tmp_path: Path) -> None:
    path = tmp_path / "kek.json"
    LocalKeyFile.create(path)
    provider = providers.make(Settings(kek_file=str(path)))

    def told(call: str, problem: str) -> float:
        labels = {"provider": "file", "call": call, "problem": problem}
        return value("votepyramid_kms_failures_total", **labels)

    calls = "votepyramid_kms_call_seconds_count"
    before = value(calls, provider="file", call="unwrap")
    wrong, gone = told("unwrap", "wrong context"), told("destroy", "key gone")
    wrapped = provider.wrap(b"one", b"k" * 32)
    assert provider.unwrap(b"one", wrapped) == b"k" * 32
    with pytest.raises(WrongContext):
        provider.unwrap(b"another", wrapped)
    with pytest.raises(KekGone):
        provider.destroy("of no such name")
    assert value(calls, provider="file", call="unwrap") == before + 2
    assert told("unwrap", "wrong context") == wrong + 1
    assert told("destroy", "key gone") == gone + 1
