"""The table of events takes in what can be an entry of the log, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import errors

from tests.support.databases import Database
from votepyramid.audit.entries import entries
from votepyramid.db import make_engine
from votepyramid.protocol.auditevent import check_event, parse_entry
from votepyramid.protocol.encoding import NotCanonical, check_id

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
VALUE = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2**54)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.sampled_from(["x" * 256, "x" * 257, "\U0001f5f3" * 256, "\x80", "a\n"])
)
NESTED = VALUE | st.lists(VALUE, max_size=2) | st.dictionaries(TEXT, VALUE, max_size=2)
NAME = st.sampled_from(["code", "a" * 63, "a" * 64, "A", "", "a\n", "ü"]) | TEXT
DETAIL = st.dictionaries(NAME, NESTED, max_size=10) | NESTED
KIND = st.sampled_from(["vote_accepted", "k" * 63, "k" * 64, "", "a\n", "a b", "é"])
SUBJECT = st.none() | st.sampled_from(["s" * 128, "s" * 129, "a b", "~", "a\n"]) | TEXT
ELECTION = st.sampled_from(["demo", "e" * 64, "e" * 65, "Demo", "", "demo\n", "\u00e9"])

_ADD = (
    "INSERT INTO audit_events (election, kind, subject, detail) VALUES (%s, %s, %s, %s)"
)


@pytest.fixture
def owner(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """Who may append every kind."""
    with psycopg.connect(database.owner_url, autocommit=True) as db:
        yield db


def _taken(db: psycopg.Connection[Any], *values: Any) -> bool:
    try:
        db.execute(_ADD, values)
    except (errors.CheckViolation, errors.UntranslatableCharacter, psycopg.DataError):
        return False
    return True


def _sound(election: str, kind: str, subject: str | None, detail: Any) -> bool:
    try:
        check_id(election)
        check_event(kind, subject, detail)
    except NotCanonical:
        return False
    return True


def _newest(database: Database) -> bytes:
    """The entry of the last event, as the sequencer makes it."""
    engine = make_engine(database.sequencer_url, pool_size=1)
    try:
        with engine.connect() as connection:
            newest = "SELECT election, id FROM audit_events ORDER BY id DESC LIMIT 1"
            election, one = connection.exec_driver_sql(newest).one()
            return entries(connection, election, [str(one)])[0]
    finally:
        engine.dispose()


@settings(
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(ELECTION, KIND, SUBJECT, DETAIL)
@example("demo", "vote_accepted", None, {"code": []})
@example("demo", "vote_accepted", None, {"code": [1]})
@example("demo", "vote_accepted", None, {"code": {}})
@example("demo", "vote_accepted", None, {"code": 1.5})
@example("demo", "vote_accepted", None, {"code": 2**53})
@example("demo", "vote_accepted", None, {"code": 2**53 - 1})
@example("demo", "vote_accepted", None, {"code": 1.0})
@example("demo", "vote_accepted", None, {f"c{n}": n for n in range(9)})
@example("demo", "vote_accepted", None, [])
@example("demo", "vote_accepted", None, None)
def test_whatever_is_taken_in_is_an_entry(
    owner: psycopg.Connection[Any],
    database: Database,
    election: str,
    kind: str,
    subject: str | None,
    detail: Any,
) -> None:
    if _taken(owner, election, kind, subject, json.dumps(detail)):
        entry = parse_entry(_newest(database))
        assert entry[2:4] == (election, kind) and entry.subject == subject
        assert entry.detail == detail
    else:
        # And nothing is refused that the code would append.
        assert not _sound(election, kind, subject, detail)
