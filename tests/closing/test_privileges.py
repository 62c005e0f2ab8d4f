"""What the roles may do: the closer's to an election, the pages' to a closing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import Engine as SqlEngine

from tests.closing.conftest import Office
from tests.support.databases import Database
from tests.support.privileges import is_ordinary, privileges
from votepyramid.audit.operators import acting_as
from votepyramid.db import make_engine
from votepyramid.doctor.expected import CLOSER
from votepyramid.elections import closing
from votepyramid.elections.ceremony import CeremonyError
from workflows import messages as m

MAY_NOT = [
    "SELECT * FROM voters",
    "SELECT voter_id FROM voters",
    "SELECT token FROM vote_tokens",
    "SELECT ballot_snapshot FROM vote_submissions",
    "SELECT tag, receipt FROM vote_submissions",
    "SELECT group_id, held_by FROM vote_groups",
    "SELECT subject FROM log_queue",
    "SELECT * FROM audit_events",
    "SELECT * FROM people",
    "SELECT * FROM roster_rows",
    "SELECT * FROM closing_tags",
    "SELECT * FROM log_tiles",
    "SELECT * FROM archived_histories",
    "INSERT INTO election_closings VALUES ('demo', true, 'me')",
    "UPDATE election_closings SET early = true",
    "DELETE FROM election_closings",
    "UPDATE elections SET closes_at = now()",
    "UPDATE elections SET grace_seconds = 0",
    "UPDATE elections SET signed_manifest = ''",
    "UPDATE wrapped_keys SET wrapped = NULL",
    "UPDATE election_statements SET note = ''",
    "DELETE FROM log_queue",
    "INSERT INTO log_entries SELECT * FROM log_entries",
    "UPDATE vote_groups SET outcome = 'ended'",
    "CREATE TABLE mine (a int)",
]


@pytest.fixture
def closer(office: Office) -> Iterator[psycopg.Connection[Any]]:
    """The closer's role, from whoever has taken over its process."""
    with psycopg.connect(office.engine.database.closer_url, autocommit=True) as db:
        yield db


@pytest.fixture
def pages(office: Office) -> Iterator[SqlEngine]:
    """The role of the administrators' pages."""
    engine = make_engine(office.engine.database.admin_url, pool_size=2)
    yield acting_as(engine, "ada")
    engine.dispose()


@pytest.mark.parametrize("statement", MAY_NOT)
def test_the_closers_role_may_not(module_database: Database, statement: str) -> None:
    with (
        psycopg.connect(module_database.closer_url) as db,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        db.execute(statement.encode())


def test_exactly_these_privileges(module_database: Database) -> None:
    with psycopg.connect(module_database.closer_url) as db:
        assert privileges(db) == CLOSER
        assert is_ordinary(db)


def test_it_sees_the_key_for_statements_and_the_votes_log_alone(
    office: Office, closer: psycopg.Connection[Any]
) -> None:
    keys = closer.execute("SELECT DISTINCT purpose FROM wrapped_keys").fetchall()
    assert keys == [("statements",)]
    office.sequence()
    assert office.election.count("SELECT count(*) FROM log_entries") > 0
    kinds = closer.execute("SELECT DISTINCT kind FROM log_entries").fetchall()
    assert {kind for (kind,) in kinds} <= {"receipts"}
    with pytest.raises(errors.InsufficientPrivilege):
        closer.execute(
            "INSERT INTO log_tiles VALUES (%s, 'receipts', 9, 9, '')",
            (office.election.id,),
        )


def test_it_ends_an_election_as_it_was_asked_and_no_other_way(
    office: Office, closer: psycopg.Connection[Any]
) -> None:
    name = office.election.id

    def move(status: str, closed_at: str = "closed_at") -> None:
        closer.execute(
            f"UPDATE elections SET status = %s, closed_at = {closed_at} WHERE id = %s",
            (status, name),
        )

    def refused(*how: str) -> None:
        with pytest.raises(errors.CheckViolation, match="as it was asked"):
            move(*how)

    long_ago = "clock_timestamp() - interval '1 day'"
    refused("closed", "clock_timestamp()")
    with office.election.sql() as db:
        ask = "INSERT INTO election_closings VALUES (%s, false, 'ada')"
        db.execute(ask, (name,))
        refused("closed", "clock_timestamp()")
        early = "UPDATE election_closings SET early = true WHERE election = %s"
        db.execute(early, (name,))
    for status in ("finished", "created", "unlinked", "open"):
        refused(status)
    # When, is the database's to say.
    move("closed", long_ago)
    age = "SELECT extract(epoch FROM clock_timestamp() - closed_at) FROM elections "
    assert office.election.count(f"{age} WHERE id = %s", name) < 60
    for status in ("open", "finished", "unlinked"):
        refused(status)
    refused("closed", long_ago)
    closer.execute(
        "INSERT INTO election_statements (election, kind, note) "
        "VALUES (%s, 'closing', 'x')",
        (name,),
    )
    refused("finished", long_ago)
    move("finished")
    refused("closed")


def test_the_pages_ask_and_call_off(office: Office, pages: SqlEngine) -> None:
    name, desk = office.election.id, office.desk
    closing.start_or_join(pages, desk, name)
    assert closing.state(pages, desk, name).phase == m.ANNOUNCED
    closing.cancel(pages, desk, name)
    assert closing.state(pages, desk, name).asked_by is None
    closing.start_or_join(pages, desk, name, early=True)
    office.start_worker()
    office.comes_to(m.GRACE)
    assert closing.state(pages, desk, name).asked_by == "ada"
    assert office.by("closing_called_off") == ["ada"]
    with pytest.raises(CeremonyError, match="cannot be called off"):
        closing.cancel(pages, desk, name)
    with psycopg.connect(office.engine.database.admin_url) as db:
        for statement in (
            "DELETE FROM election_closings WHERE election = %s",
            "UPDATE election_closings SET asked_at = now() WHERE election = %s",
            "UPDATE elections SET status = 'open' WHERE id = %s",
        ):
            with pytest.raises((errors.CheckViolation, errors.InsufficientPrivilege)):
                db.execute(statement.encode(), (name,))
            db.rollback()


def test_calling_off_comes_before_the_closing_or_after_it(office: Office) -> None:
    """The database decides under the election's row, not what was read before."""
    office.ask()
    name = office.election.id
    with (
        psycopg.connect(office.engine.database.owner_url) as other,
        psycopg.connect(office.engine.database.owner_url) as calling,
    ):
        other.execute(
            "UPDATE elections SET status = 'closed', closed_at = clock_timestamp() "
            "WHERE id = %s",
            (name,),
        )
        calling.execute("SET lock_timeout = '300ms'")
        gone = "DELETE FROM election_closings WHERE election = %s"
        with pytest.raises(errors.LockNotAvailable):
            calling.execute(gone, (name,))
        calling.rollback()
        other.commit()
        with pytest.raises(errors.CheckViolation, match="it is closed"):
            calling.execute(gone, (name,))
