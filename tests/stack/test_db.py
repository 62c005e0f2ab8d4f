"""`votepyramid db`: what an operator does to a schema."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import psycopg

from tests.support.databases import Database
from tests.support.stacks import VOTEPYRAMID
from votepyramid.stack import migrations
from votepyramid.stack.children import environment_without


def db(database: Database, *words: str) -> str:
    done = subprocess.run(
        [VOTEPYRAMID, "db", *words],
        env={**os.environ, "VOTEPYRAMID_OWNER_DATABASE_URL": database.owner_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(database: Database, *words: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(db(database, *words, "--json"))
    return document


def test_down_to_nothing_and_up_again(database: Database) -> None:
    head = migrations.head()
    assert told(database, "current") == {"revision": head, "head": head}
    assert db(database, "current") == f"The schema is at {head}.\n"
    assert told(database, "downgrade", "base") == {"revision": None, "head": head}
    with psycopg.connect(database.owner_url) as rows:
        found = rows.execute("SELECT to_regclass('elections')").fetchone()
    assert found == (None,)
    said = db(database, "current")
    assert said == f"The schema is at nothing (the newest is {head}).\n"
    assert told(database, "upgrade") == {"revision": head, "head": head}


def test_events_from_before_the_audit_log_wait_for_it(database: Database) -> None:
    add = "INSERT INTO audit_events (election, kind) VALUES ('e', 'election_opened')"
    db(database, "downgrade", "0004")
    with psycopg.connect(database.app_url) as rows:
        for _ in range(3):
            rows.execute(add)
    for again in ("upgrade", "downgrade", "upgrade"):
        db(database, again, *(["0004"] if again == "downgrade" else []))
    with psycopg.connect(database.owner_url) as rows:
        rows.execute(add)
        waiting = rows.execute(
            "SELECT count(*), count(DISTINCT q.sort) FROM log_queue q "
            "JOIN audit_events a ON q.subject = a.id::text "
            "AND q.sort = uuid_send(a.nonce) WHERE q.kind = 'audit'"
        ).fetchone()
    assert waiting == (4, 4)


def test_without_the_owners_url_the_setting_is_named() -> None:
    done = subprocess.run(
        [VOTEPYRAMID, "db", "upgrade"],
        env=environment_without("VOTEPYRAMID_"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "VOTEPYRAMID_OWNER_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr
