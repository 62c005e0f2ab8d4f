"""Changing what can only be appended to, as someone who may alter the tables does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

APPEND_ONLY = ("audit_events", "log_entries")
TRIGGERS = ("append_only", "append_only_whole")


@contextmanager
def tampering(owner_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction of the owner in which the append-only tables can be changed."""
    with psycopg.connect(owner_url) as db:
        _turn(db, "DISABLE TRIGGER")
        yield db
        _turn(db, "ENABLE ALWAYS TRIGGER")


def forget(owner_url: str, checkpoints: Path, election: str) -> None:
    """As if the election never had logs, so that other tests' sequencing can go on."""
    for kept in checkpoints.glob(f"{election}.*"):
        kept.unlink()
    with tampering(owner_url) as db:
        for table in ("log_entries", "log_tiles", "log_heads", "log_queue"):
            db.execute(
                sql.SQL("DELETE FROM {} WHERE election = %s").format(
                    sql.Identifier(table)
                ),
                (election,),
            )


def _turn(db: psycopg.Connection[Any], what: str) -> None:
    for table in APPEND_ONLY:
        turns = sql.SQL(", ").join(
            sql.SQL(f"{what} {{}}").format(sql.Identifier(name)) for name in TRIGGERS
        )
        db.execute(sql.SQL("ALTER TABLE {} {}").format(sql.Identifier(table), turns))
