"""What the application role may do in the database, and what it may not.

It can be no more than this: whoever takes over a web process or a worker has its
password. Asked as that role, on tables with real votes in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.support.privileges import is_ordinary, privileges
from tests.web.conftest import Site
from votepyramid.doctor.expected import APPLICATION as GRANTED


@pytest.fixture(scope="module", autouse=True)
def votes(site: Site) -> None:
    """An accepted and a rejected ballot."""
    door = site.door
    ballot = door.ballot("v40")
    assert door.cast(ballot, style="south").status_code == 422
    assert door.cast(ballot).status_code == 200


@pytest.fixture
def app(site: Site) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the application role; nothing it does stays."""
    with psycopg.connect(site.engine.database.app_url) as db:
        yield db
        db.rollback()


def test_exactly_these_privileges(app: psycopg.Connection[Any]) -> None:
    assert privileges(app) == GRANTED


def test_the_role_is_nothing_special(app: psycopg.Connection[Any]) -> None:
    assert is_ordinary(app)


FORBIDDEN = [
    # What was cast stays as it was cast.
    "UPDATE vote_submissions SET status = 'rejected'",
    "UPDATE vote_submissions SET receipt = 'x'",
    "UPDATE vote_submissions SET ballot_snapshot = NULL",
    "DELETE FROM vote_submissions",
    "TRUNCATE vote_submissions",
    # The audit log is written, never read or changed.
    "SELECT * FROM audit_events",
    "UPDATE audit_events SET kind = 'x'",
    "INSERT INTO audit_events (election, kind, created_at) VALUES ('e', 'k', now())",
    (
        "INSERT INTO audit_events (election, kind, nonce) "
        "SELECT 'e', 'k', gen_random_uuid()"
    ),
    "DELETE FROM audit_events",
    "TRUNCATE audit_events",
    # A token keeps its voter, style and time; none disappears.
    'UPDATE vote_tokens SET "user" = gen_random_uuid()',
    "UPDATE vote_tokens SET token = gen_random_uuid()",
    "UPDATE vote_tokens SET style = 'south'",
    "UPDATE vote_tokens SET revoked_at = now()",
    "DELETE FROM vote_tokens",
    # Elections and rosters are the operator's.
    "UPDATE elections SET closes_at = closes_at + interval '1 day'",
    "UPDATE elections SET status = 'open'",
    "INSERT INTO elections SELECT * FROM elections",
    "INSERT INTO voters (election, voter_id) VALUES ('demo', 'mallory')",
    "UPDATE voters SET voter_id = 'mallory'",
    "DELETE FROM voters",
    "UPDATE roster_rows SET precinct = 'S 1'",
    "DELETE FROM roster_rows",
    "UPDATE roster_versions SET voters = 0",
    # What is stated at the end is the operator's too.
    "UPDATE elections SET status = 'finished'",
    "INSERT INTO election_statements VALUES ('demo', 'closing', 'x', now())",
    "UPDATE election_statements SET note = 'x'",
    "INSERT INTO closing_tags VALUES ('demo', 0, '\\x00', '\\x00')",
    # Keys are neither replaced nor wiped.
    "UPDATE wrapped_keys SET wrapped = NULL",
    "DELETE FROM wrapped_keys",
    # No time to come silences the alarm of a missed run.
    "INSERT INTO archive_runs (began_at) VALUES (now() + interval '10 years')",
    "UPDATE archive_runs SET began_at = now()",
    "DELETE FROM archive_runs",
    # Counts of refusals only grow in the name of what they count.
    "UPDATE claim_refusals SET reason = 'x'",
    "DELETE FROM claim_refusals",
    "DELETE FROM vote_groups",
    "UPDATE vote_groups SET receipt_hash = 'x'",
    "UPDATE alembic_version SET version_num = 'x'",
    # The schema is the owner's.
    "CREATE TABLE mine (a int)",
    "CREATE TEMPORARY TABLE mine (a int)",
    "DROP TABLE vote_submissions",
    "ALTER TABLE vote_tokens DISABLE TRIGGER ALL",
    "ALTER TABLE wrapped_keys DISABLE ROW LEVEL SECURITY",
    "SET ROLE votepyramid_owner",
    "SET session_replication_role = replica",
    "COPY vote_submissions TO PROGRAM 'true'",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_role_may_not(app: psycopg.Connection[Any], statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute(statement)


def test_a_used_token_stays_used(app: psycopg.Connection[Any]) -> None:
    with pytest.raises(errors.CheckViolation, match="a used token stays used"):
        app.execute("UPDATE vote_tokens SET used = false WHERE used")


@pytest.mark.parametrize("purpose", ["issuance", "ballot-box"])
def test_the_role_makes_data_keys_alone(
    app: psycopg.Connection[Any], purpose: str
) -> None:
    insert = (
        "INSERT INTO wrapped_keys (id, election, purpose, wrapped) "
        "VALUES (gen_random_uuid(), 'another', %s, '\\x00')"
    )
    app.execute(insert, ("data",))
    with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
        app.execute(insert, (purpose,))


def test_a_data_key_is_not_empty(app: psycopg.Connection[Any]) -> None:
    """`keys status`, `rewrap` and `destroy` would stop at it."""
    with pytest.raises(errors.CheckViolation, match="ck_wrapped_keys_wrapped"):
        app.execute(
            "INSERT INTO wrapped_keys (id, election, purpose, wrapped) "
            "VALUES (gen_random_uuid(), 'another', 'data', '')"
        )


def test_an_accepted_ballot_is_unique_whoever_inserts_it(
    site: Site, app: psycopg.Connection[Any]
) -> None:
    copied = (
        "INSERT INTO vote_submissions (id, election, tag, ciphertext_hash, "
        "ballot_snapshot, receipt_hash, status, receipt) "
        "SELECT gen_random_uuid(), election, {tag}, {c}, ballot_snapshot, {hash}, "
        "status, receipt FROM vote_submissions "
        f"WHERE status = 'accepted' AND election = '{site.election.id}' LIMIT 1"
    )
    fresh = {"tag": "'\\x01'::bytea", "c": "'\\x02'::bytea", "hash": "'other'"}
    own = {"tag": "tag", "c": "ciphertext_hash", "hash": "receipt_hash"}
    app.execute(copied.format(**fresh))
    app.rollback()
    for column in fresh:
        with pytest.raises(errors.UniqueViolation):
            app.execute(copied.format(**{**fresh, column: own[column]}))
        app.rollback()


def test_others_see_nothing(site: Site) -> None:
    """A role that was not granted anything cannot even connect to the database."""
    with site.election.sql() as db:
        row = db.execute(
            "SELECT has_database_privilege('public', current_database(), 'CONNECT'), "
            "has_schema_privilege('public', 'public', 'CREATE')"
        ).fetchone()
    assert row == (False, False)
