"""The servers that every other test stands on."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.databases import Database
from votepyramid.stack import migrations
from votepyramid.stack.devserver import DevServer


def test_database_is_migrated_to_the_newest_revision(database: Database) -> None:
    assert migrations.current(database.owner_url) == migrations.head() is not None


def test_databases_are_apart(database: Database, module_database: Database) -> None:
    with psycopg.connect(database.owner_url) as db:
        db.execute("CREATE TABLE only_here (n int)")
    with psycopg.connect(module_database.owner_url) as db:
        found = db.execute("SELECT to_regclass('only_here')").fetchone()
    assert found == (None,)


def test_application_role_cannot_change_the_schema(database: Database) -> None:
    with (
        psycopg.connect(database.app_url) as db,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        db.execute("CREATE TABLE mine (n int)")


def test_a_wrong_password_is_refused(database: Database) -> None:
    url = database.app_url.replace("votepyramid_app:", "votepyramid_app:x")
    with pytest.raises(psycopg.OperationalError, match="password authentication"):
        psycopg.connect(url)


def test_a_workflow_service_answers(temporal: DevServer) -> None:
    assert temporal.ready()
    assert temporal.alive()
