"""One installation's key file, database and Temporal, as operators have them."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

from tests.support.databases import Database
from tests.support.processes import Running, environment, start_worker, stopping
from tests.support.stacks import VOTEPYRAMID
from votepyramid.db import make_engine
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.service import ElectionKeys
from votepyramid.stack.devserver import DevServer

# Words that stand nowhere else, so that they can be looked for.
SECRET = b"found in no tale"


@dataclass
class Office:
    """Where an operator sits: the owner's URL, the key file, Temporal."""

    env: dict[str, str]
    database: Database
    temporal: DevServer
    folder: Path
    engine: Engine
    workers: list[Running]

    @property
    def kek(self) -> Path:
        return Path(self.env["VOTEPYRAMID_KEK_FILE"])

    def popen(self, *words: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [VOTEPYRAMID, "keys", *words],
            env={**self.env, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def keys(self, *words: str, status: int = 0, **more: str) -> Any:
        """What a command says with --json."""
        command = self.popen(*words, "--json", **more)
        said, errors = command.communicate(timeout=90)
        assert command.returncode == status, (said, errors)
        return json.loads(said)

    def start_worker(self, **more: str) -> Running:
        """One that rewraps, with the keeper's role."""
        keeper = {"VOTEPYRAMID_DATABASE_URL": self.database.keeper_url, **more}
        name = f"keys-{len(self.workers)}"
        env = {k: v for k, v in self.env.items() if "OWNER" not in k} | keeper
        worker = start_worker(env, self.temporal, self.folder, name=name, roles="keys")
        self.workers.append(worker)
        return worker

    def make_keys(self, count: int, election: str = "e") -> dict[uuid.UUID, bytes]:
        """Data keys under the file's current key, by id."""
        keys = ElectionKeys(LocalKeyFile(self.kek), self.engine, 10)
        made = {}
        with self.engine.begin() as connection:
            for _ in range(count):
                key_id = uuid.uuid4()
                made[key_id] = key = SECRET[:16] + os.urandom(16)
                keys.store(connection, election, "data", key_id, key)
        return made

    def open_all(self, made: dict[uuid.UUID, bytes], election: str = "e") -> bool:
        """Whether each still opens to the same bytes."""
        keys = ElectionKeys(LocalKeyFile(self.kek), self.engine, 10)
        return all(keys.read_data_key(election, i) == key for i, key in made.items())

    def rows(self, query: str, *values: Any) -> list[Any]:
        with psycopg.connect(self.database.owner_url) as db:
            return db.execute(query, values).fetchall()

    def under(self) -> dict[str, int]:
        """How many keys each key-encryption key wraps, by name."""
        return {
            kek["name"]: kek["wrapped_keys"]
            for kek in self.keys("status")["keks"]
            if kek["wrapped_keys"]
        }


@contextmanager
def held_at(office: Office, key: uuid.UUID) -> Iterator[Callable[[], bool]]:
    """Whoever replaces this row waits until the end. Yields whether somebody does."""
    with psycopg.connect(office.database.owner_url, autocommit=True) as db:
        db.execute(
            "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END $$"
        )
        db.execute(
            "CREATE TRIGGER hold BEFORE UPDATE ON wrapped_keys FOR EACH ROW "
            f"WHEN (NEW.id = '{key}') EXECUTE FUNCTION hold()"
        )
        db.execute("SELECT pg_advisory_lock(7)")

        def held() -> bool:
            waiting = db.execute(
                "SELECT FROM pg_locks JOIN pg_database ON oid = database WHERE "
                "locktype = 'advisory' AND NOT granted AND datname = current_database()"
            )
            return waiting.fetchone() is not None

        yield held
        db.execute("SELECT pg_advisory_unlock(7)")
        db.execute("DROP TRIGGER hold ON wrapped_keys")


@pytest.fixture
def office(database: Database, temporal: DevServer, tmp_path: Path) -> Iterator[Office]:
    env = environment(database, temporal, tmp_path, owner=True)
    engine = make_engine(database.owner_url, pool_size=4)
    workers: list[Running] = []
    try:
        yield Office(env, database, temporal, tmp_path, engine, workers)
    finally:
        with stopping(*workers):
            engine.dispose()
