"""Engines of both roles, people who are set up, and what the room logs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import structlog
from sqlalchemy import Engine

from tests.support.databases import Database
from votepyramid.db import make_engine
from votepyramid.people import setup
from votepyramid.people.errors import PeopleError

PASSWORD = "nine green bottles stood"


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """Of the administrators' role, which has no more rights than it needs."""
    engine = make_engine(database.admin_url, pool_size=24, lock_timeout_ms=10_000)
    yield engine
    engine.dispose()


@pytest.fixture
def owner(database: Database) -> Iterator[Engine]:
    engine = make_engine(database.owner_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sql(database: Database) -> Iterator[Callable[..., Any]]:
    """Run a statement as the owner; its rows, if it has any."""

    def run(query: str, *values: Any) -> Any:
        with psycopg.connect(database.owner_url) as db:
            done = db.execute(query, values)
            return done.fetchall() if done.description else done.rowcount

    yield run


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def add(engine: Engine, name: str, *roles: str, password: str = PASSWORD) -> None:
    """Somebody who has set up."""
    setup.accept_invitation(engine, setup.invite(engine, name, roles).secret, password)


def wait_for_locks(sql: Callable[..., Any], sessions: int) -> None:
    """Until so many sessions of the server wait for a lock."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = sql("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
        if found[0][0] >= sessions:
            return
        time.sleep(0.01)
    raise AssertionError("they do not wait")


def at_once(acts: list[Callable[[], Any]]) -> list[Any]:
    """Do all at the same time; what each returned, or the PeopleError it raised."""

    def outcome(act: Callable[[], Any]) -> Any:
        try:
            return act()
        except PeopleError as error:
            return error

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(outcome, acts))
