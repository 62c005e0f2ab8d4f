"""What the roles may do: the exporter's to an election, the pages' to an export."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.exports.conftest import Bureau
from tests.support.databases import Database
from tests.support.privileges import is_ordinary, privileges
from votepyramid.doctor.expected import EXPORTER

MAY_NOT = [
    "SELECT * FROM voters",
    "SELECT voter_id FROM voters",
    "SELECT ref FROM voters",
    "SELECT token FROM vote_tokens",
    "SELECT * FROM roster_rows",
    "SELECT group_id, held_by FROM vote_groups",
    "SELECT detail FROM audit_events",
    "SELECT created_at FROM vote_submissions",
    "SELECT * FROM people",
    "SELECT * FROM closing_tags",
    "SELECT * FROM election_closings",
    "SELECT * FROM orders",
    "SELECT * FROM none_issued",
    "INSERT INTO asked_exports (election, asked_by) VALUES ('demo', 'me')",
    "UPDATE asked_exports SET asked_by = 'me'",
    "UPDATE asked_exports SET removed_by = 'me'",
    "DELETE FROM asked_exports",
    "UPDATE elections SET status = 'finished'",
    "UPDATE wrapped_keys SET wrapped = NULL",
    "INSERT INTO wrapped_keys SELECT * FROM wrapped_keys",
    "INSERT INTO election_statements SELECT * FROM election_statements",
    "INSERT INTO archived_histories SELECT * FROM archived_histories",
    "DELETE FROM archived_histories",
    "DELETE FROM log_queue",
    "INSERT INTO log_entries SELECT * FROM log_entries",
    "UPDATE vote_submissions SET receipt = ''",
    "CREATE TABLE mine (a int)",
]


@pytest.fixture
def exporter(bureau: Bureau) -> Iterator[psycopg.Connection[Any]]:
    """The exporter's role, from whoever has taken over its process."""
    with psycopg.connect(bureau.engine.database.exporter_url, autocommit=True) as db:
        yield db


@pytest.mark.parametrize("statement", MAY_NOT)
def test_the_exporters_role_may_not(module_database: Database, statement: str) -> None:
    with (
        psycopg.connect(module_database.exporter_url) as db,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        db.execute(statement.encode())


def test_exactly_these_privileges(module_database: Database) -> None:
    with psycopg.connect(module_database.exporter_url) as db:
        assert privileges(db) == EXPORTER
        assert is_ordinary(db)


def test_it_sees_the_keys_of_ballots_and_statements_and_the_two_logs_alone(
    bureau: Bureau, exporter: psycopg.Connection[Any]
) -> None:
    bureau.cast("v0")
    bureau.sequence()
    found = exporter.execute("SELECT DISTINCT purpose FROM wrapped_keys").fetchall()
    assert {purpose for (purpose,) in found} == {"data", "statements"}
    with bureau.election.sql() as db:
        db.execute(
            "INSERT INTO log_tiles VALUES (%s, 'tags', 0, 0, '')", (bureau.election.id,)
        )
    for table in ("log_entries", "log_tiles"):
        kinds = exporter.execute(f"SELECT DISTINCT kind FROM {table}".encode())
        assert {kind for (kind,) in kinds} == {"audit", "receipts"}


def test_what_was_asked_for_is_finished_once_and_removed_as_asked(
    bureau: Bureau, exporter: psycopg.Connection[Any]
) -> None:
    bureau.ask_only()
    gone = "UPDATE asked_exports SET gone_at = now() WHERE election = %s"
    with pytest.raises(errors.CheckViolation, match="removed"):
        exporter.execute(gone, (bureau.election.id,))
    with pytest.raises(errors.CheckViolation, match="finished"):
        exporter.execute(
            "UPDATE asked_exports SET sums = repeat('0', 64) WHERE election = %s",
            (bureau.election.id,),
        )
    with psycopg.connect(bureau.engine.database.admin_url) as pages:
        for column in ("sums", "finished_at", "gone_at", "asked_by", "election"):
            with pytest.raises(errors.InsufficientPrivilege):
                pages.execute(f"UPDATE asked_exports SET {column} = NULL".encode())
            pages.rollback()
        with pytest.raises(errors.InsufficientPrivilege):
            pages.execute("DELETE FROM asked_exports")
