"""Places in Postgres where a step of a sequencer, or of a vote, is held up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.support.databases import Database
from tests.support.processes import eventually
from votepyramid.logs.turn import LOCK

_HELD = 0x5354
# Whoever waits here does so longer than for a row: the test says when it goes on.
_STOP = f"""
CREATE FUNCTION stop_here() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET lock_timeout = 0 AS $$ BEGIN
  PERFORM pg_advisory_xact_lock({_HELD}); RETURN NEW;
END $$
"""
APPENDING = "BEFORE UPDATE OF size ON log_heads FOR EACH ROW"
# When all is done but the commit itself, which needs nobody's help any more.
COMMITTING = (
    "AFTER UPDATE OF size ON log_heads DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
)
PUBLISHING = "BEFORE UPDATE OF checkpoint ON log_heads FOR EACH ROW"
RECORDING = "BEFORE INSERT ON audit_events FOR EACH ROW"
_WAITING = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s "
    "AND NOT granted AND database = "
    "(SELECT oid FROM pg_database WHERE datname = current_database())"
)
_END = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_locks "
    "WHERE locktype = 'advisory' AND objid = %s AND granted AND database = "
    "(SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Stop:
    """Somebody stands at it, or will. `release` lets everybody pass from now on."""

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        self._db = db

    def reached(self) -> None:
        """Wait until somebody stands here."""
        came = eventually(lambda: _number(self._db, _WAITING, _HELD) > 0, 30)
        assert came, "nobody came"

    def release(self) -> None:
        self._db.execute("SELECT pg_advisory_unlock_all()")


@contextmanager
def stopping_at(database: Database, where: str, when: str) -> Iterator[Stop]:
    """Hold up whoever does `where` for rows with `when`."""
    with psycopg.connect(database.superuser_url, autocommit=True) as db:
        db.execute("SELECT pg_advisory_lock(%s)", (_HELD,))
        db.execute(_STOP.encode())
        kind = "CONSTRAINT TRIGGER" if "DEFERRED" in where else "TRIGGER"
        table = where.partition(" ON ")[2].partition(" ")[0]
        made = f"CREATE {kind} stop_here {where} WHEN ({when}) "
        db.execute(f"{made} EXECUTE FUNCTION stop_here()".encode())
        stop = Stop(db)
        try:
            yield stop
        finally:
            stop.release()
            db.execute(f"DROP TRIGGER stop_here ON {table}".encode())
            db.execute("DROP FUNCTION stop_here")


def end_the_turn(database: Database) -> None:
    """Cut the connection that holds the turn to sequence."""
    with psycopg.connect(database.superuser_url, autocommit=True) as db:
        assert _number(db, _END, LOCK) == 1
        # It is on its way out: whoever is next gets the turn once it has gone.
        gone = _END.replace("pg_terminate_backend(pid)", "*")
        assert eventually(lambda: _number(db, gone, LOCK) == 0)


def _number(db: psycopg.Connection[Any], query: str, lock: int) -> int:
    row = db.execute(query.encode(), (lock,)).fetchone()
    assert row is not None
    return int(row[0])
