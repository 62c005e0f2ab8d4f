"""What the role of the administrators' pages may do in the database, and no more.

Whoever takes over that process has its password. That its rights are enough for the
room of people is shown by the other tests here, which run with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.support.databases import Database
from tests.support.privileges import is_ordinary, privileges
from votepyramid.doctor.expected import ADMINISTRATORS as GRANTED


@pytest.fixture
def admin(module_database: Database) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(module_database.admin_url) as db:
        yield db
        db.rollback()


def test_exactly_these_privileges(admin: psycopg.Connection[Any]) -> None:
    assert privileges(admin) == GRANTED


def test_the_role_is_nothing_special(admin: psycopg.Connection[Any]) -> None:
    assert is_ordinary(admin)


FORBIDDEN = [
    # Who voted and how stays out of sight.
    "SELECT * FROM voters",
    "SELECT * FROM roster_rows",
    "SELECT token FROM vote_tokens",
    'SELECT "user" FROM vote_tokens',
    "SELECT issued_at FROM vote_tokens",
    "SELECT ballot_snapshot FROM vote_submissions",
    "SELECT receipt FROM vote_submissions",
    "SELECT tag FROM vote_submissions",
    "SELECT created_at FROM vote_submissions",
    "SELECT pseudonym FROM claim_refusals",
    "SELECT * FROM none_issued",
    "SELECT * FROM closing_tags",
    "SELECT * FROM archived_histories",
    "SELECT wrapped FROM wrapped_keys",
    # Nothing of an election changes.
    "UPDATE elections SET closes_at = now()",
    "UPDATE elections SET roster_version = 1",
    "DELETE FROM elections",
    "DELETE FROM orders",
    "UPDATE orders SET given_by = 'eve'",
    "UPDATE orders SET reason = 'x'",
    "UPDATE orders SET asked = '{}'",
    "INSERT INTO elections SELECT * FROM elections",
    "UPDATE vote_groups SET outcome = 'x'",
    "UPDATE vote_tokens SET used = false",
    "DELETE FROM vote_submissions",
    "DELETE FROM wrapped_keys",
    "DELETE FROM log_queue",
    "INSERT INTO audit_events (election, kind, created_at) VALUES ('e', 'k', now())",
    "UPDATE audit_events SET kind = 'x'",
    "DELETE FROM audit_events",
    "UPDATE election_statements SET note = 'x'",
    "UPDATE archive_runs SET found = 0",
    # People are disabled, never removed or renamed; no session outlives its end.
    "DELETE FROM people",
    "UPDATE people SET name = 'eve'",
    "UPDATE people SET created_at = now()",
    "UPDATE people_sessions SET expires_at = now() + interval '1 year'",
    "UPDATE people_sessions SET person = gen_random_uuid()",
    "UPDATE people_setup SET expires_at = now() + interval '1 year'",
    "TRUNCATE people_sessions",
    "UPDATE alembic_version SET version_num = 'x'",
    # The schema is the owner's.
    "CREATE TABLE mine (a int)",
    "CREATE TEMPORARY TABLE mine (a int)",
    "ALTER TABLE people DISABLE TRIGGER ALL",
    "ALTER TABLE wrapped_keys DISABLE ROW LEVEL SECURITY",
    "SET ROLE votepyramid_owner",
    "SET ROLE votepyramid_app",
    "SET session_replication_role = replica",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_role_may_not(admin: psycopg.Connection[Any], statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        admin.execute(statement)


def test_what_the_role_may_read_it_can_count(
    admin: psycopg.Connection[Any], module_database: Database
) -> None:
    with psycopg.connect(module_database.owner_url) as db:
        db.execute(
            "INSERT INTO wrapped_keys (id, election, purpose, wrapped) "
            "VALUES (gen_random_uuid(), 'e', 'data', '\\x01')"
        )
    # Row-level security would hide them without an error.
    seen = admin.execute("SELECT count(*), min(purpose) FROM wrapped_keys").fetchone()
    assert seen == (1, "data")
    for table in GRANTED:
        assert admin.execute(f"SELECT count(*) FROM {table}").fetchone() is not None
    issued = "SELECT tokens_issued('e', ARRAY[gen_random_uuid()])"
    assert admin.execute(issued).fetchone() == (0,)
    ended = "SELECT votes_ended('vote/x', ARRAY['x'])"
    admin.execute(ended)
    for url in (module_database.app_url, module_database.sequencer_url):
        for function in (issued, ended):
            with (
                psycopg.connect(url) as db,
                pytest.raises(errors.InsufficientPrivilege),
            ):
                db.execute(function)
    admin.execute(
        "INSERT INTO audit_events (election, kind) VALUES ('e', 'person_enabled')"
    )
