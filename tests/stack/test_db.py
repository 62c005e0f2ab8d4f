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


def test_without_the_owners_url_the_setting_is_named() -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("VOTEPYRAMID_")}
    done = subprocess.run(
        [VOTEPYRAMID, "db", "upgrade"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "VOTEPYRAMID_OWNER_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr
