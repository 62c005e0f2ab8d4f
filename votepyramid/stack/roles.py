"""The seven database roles, and the database they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

SUPERUSER = "postgres"
OWNER = "votepyramid_owner"
APPLICATION = "votepyramid_app"
SEQUENCER = "votepyramid_sequencer"
KEEPER = "votepyramid_keeper"
CLOSER = "votepyramid_closer"
EXPORTER = "votepyramid_exporter"
ADMINISTRATORS = "votepyramid_admin"
_GRANTED = (APPLICATION, SEQUENCER, KEEPER, CLOSER, EXPORTER, ADMINISTRATORS)
ALL = (SUPERUSER, OWNER, *_GRANTED)
DATABASE = "votepyramid"


def prepare(db: psycopg.Connection[Any], passwords: Mapping[str, str]) -> None:
    """Make the other roles and the database; safe to repeat."""
    for role in (OWNER, *_GRANTED):
        known = db.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
        if known.fetchone() is None:
            db.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(role), sql.Literal(passwords[role])
                )
            )
    known = db.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
    if known.fetchone() is None:
        create_database(db, DATABASE)
    else:
        _let_connect(db, DATABASE)


def create_database(
    db: psycopg.Connection[Any], name: str, template: str = "template0"
) -> None:
    """Make database `name`, owned by the owner; the others may connect."""
    named = sql.Identifier(name)
    db.execute(
        sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
            named, sql.Identifier(OWNER), sql.Identifier(template)
        )
    )
    db.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(named))
    _let_connect(db, name)


def _let_connect(db: psycopg.Connection[Any], name: str) -> None:
    for role in _GRANTED:
        db.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                sql.Identifier(name), sql.Identifier(role)
            )
        )
