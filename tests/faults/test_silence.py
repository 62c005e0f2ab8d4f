"""Postgres is there and says nothing: who waits for it is told in time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from tests.support.databases import Database
from tests.support.faults import Wire
from tests.support.processes import eventually
from tests.support.voting import at_once
from votepyramid.db import CONNECT_TIMEOUT_S, is_fault, make_engine
from votepyramid.silence import PostgresSilent

PATIENCE_S = 1.0
# psycopg looks up ten times a second; the rest is for a machine that is busy.
SLACK_S = 1.5
# What ends the start-up: the server waits for a question.
READY = b"Z\x00\x00\x00\x05I"
MANY = 8
# An answer that takes longer than anybody's patience, and never pauses for so long.
PIECES, PIECE_S = 6, 0.4


@pytest.fixture
def wire(database: Database) -> Iterator[Wire]:
    made = Wire(_address(database.owner_url))
    yield made
    made.thaw()
    made.cut()


@pytest.fixture
def engine(database: Database, wire: Wire) -> Iterator[Engine]:
    made = _engine(database, wire)
    with made.begin() as connection:
        connection.execute(text("CREATE TABLE done (what text)"))
    yield made
    made.dispose()


def _address(url: str) -> str:
    given = make_url(url)
    return f"{given.host}:{given.port}"


def _engine(database: Database, wire: Wire, **options: int) -> Engine:
    url = database.owner_url.replace(_address(database.owner_url), wire.address)
    return make_engine(url, patience=PATIENCE_S, **options)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds + SLACK_S, f"took {took:.1f} s"


@contextmanager
def told() -> Iterator[None]:
    """It is a fault of Postgres's, after which nobody knows what was done."""
    with within(PATIENCE_S), pytest.raises(OperationalError) as error:
        yield
    assert isinstance(error.value.orig, PostgresSilent)
    assert error.value.connection_invalidated and is_fault(error.value)


def done(database: Database) -> int:
    """How many rows there are, as seen past the wire."""
    with psycopg.connect(database.owner_url) as db:
        (found,) = db.execute("SELECT count(*) FROM done").fetchone() or (0,)
    return int(found)


def test_a_statement(engine: Engine, wire: Wire) -> None:
    with engine.connect() as connection:
        wire.freeze()
        with told():
            connection.execute(text("SELECT 1"))
    wire.thaw()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1


def test_one_that_lay_in_the_pool(engine: Engine, wire: Wire) -> None:
    wire.freeze()
    with told(), engine.begin() as connection:
        connection.execute(text("SELECT 1"))


def test_many_rows_in_one_statement(engine: Engine, wire: Wire) -> None:
    insert = text("INSERT INTO done VALUES (:what)")
    with told(), engine.begin() as connection:
        wire.freeze()
        connection.execute(insert, [{"what": str(number)} for number in range(100)])


def test_a_commit_may_have_been_done(
    engine: Engine, wire: Wire, database: Database
) -> None:
    with told(), engine.begin() as connection:
        connection.execute(text("INSERT INTO done VALUES ('x')"))
        wire.freeze()
    assert done(database) == 0
    # It is still under way, and whoever was told that it failed would do it twice.
    wire.thaw()
    assert eventually(lambda: done(database) == 1)


def test_a_rollback_when_something_else_fails(engine: Engine, wire: Wire) -> None:
    with told(), engine.begin() as connection:
        connection.execute(text("INSERT INTO done VALUES ('x')"))
        wire.freeze()
        raise LookupError("something else")


def test_a_rollback_after_what_was_read(engine: Engine, wire: Wire) -> None:
    with told(), engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        wire.freeze()


def test_a_rollback_of_what_goes_back_to_the_pool(engine: Engine, wire: Wire) -> None:
    with within(PATIENCE_S):
        raw = engine.raw_connection()
        raw.cursor().execute("SELECT 1")
        wire.freeze()
        raw.close()
    wire.thaw()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1


def test_connecting(database: Database, wire: Wire) -> None:
    engine = _engine(database, wire)
    wire.freeze()
    with (
        within(CONNECT_TIMEOUT_S),
        pytest.raises(OperationalError) as error,
        engine.connect(),
    ):
        pass
    assert is_fault(error.value)
    engine.dispose()


def test_many_who_are_let_in_and_hear_nothing_more(database: Database) -> None:
    """They do not wait for each other: SQLAlchemy asks an engine's first one alone."""
    wire = Wire(_address(database.owner_url), until=READY)
    engine = _engine(database, wire, pool_size=MANY)

    def ask(_number: int) -> bool:
        try:
            with engine.connect():
                return False
        except OperationalError as error:
            return isinstance(error.orig, PostgresSilent)

    with within(CONNECT_TIMEOUT_S):
        assert all(at_once(ask, range(MANY)))
    wire.thaw()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()
    wire.cut()


def test_what_keeps_coming_may_take_longer(engine: Engine) -> None:
    slow = text(
        "SELECT repeat('x', 100000), pg_sleep(:piece) FROM generate_series(1, :pieces)"
    )
    began = time.monotonic()
    with engine.connect() as connection:
        rows = connection.execute(slow, {"piece": PIECE_S, "pieces": PIECES}).all()
    assert len(rows) == PIECES
    assert time.monotonic() - began > 2 * PATIENCE_S


def test_what_postgres_ends_itself_is_told_as_that(
    database: Database, wire: Wire
) -> None:
    engine = _engine(database, wire, statement_timeout_ms=200)
    with engine.connect() as connection:
        with pytest.raises(DBAPIError) as error:
            connection.execute(text("SELECT pg_sleep(5)"))
        assert isinstance(error.value.orig, psycopg.errors.QueryCanceled)
        connection.rollback()
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()
