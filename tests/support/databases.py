"""A fresh, migrated database in milliseconds: copied from a template."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from votepyramid.stack import migrations, roles
from votepyramid.stack.postgres import EmbeddedPostgres

TEMPLATE = "template_migrated"


@dataclass(frozen=True)
class Database:
    """One database of the test server; the URLs are libpq's, with passwords."""

    name: str
    owner_url: str
    app_url: str
    sequencer_url: str


def make_template(server: EmbeddedPostgres) -> None:
    """Make and migrate the database that all others are copied from."""
    with _superuser(server) as db:
        roles.create_database(db, TEMPLATE)
    migrations.upgrade(server.url(roles.OWNER, TEMPLATE))


@contextmanager
def fresh(server: EmbeddedPostgres, template: str = TEMPLATE) -> Iterator[Database]:
    """A database of one's own, thrown away at the end with whoever is connected."""
    name = f"test_{secrets.token_hex(6)}"
    with _superuser(server) as db:
        roles.create_database(db, name, template)
    try:
        yield Database(
            name,
            server.url(roles.OWNER, name),
            server.url(roles.APPLICATION, name),
            server.url(roles.SEQUENCER, name),
        )
    finally:
        with _superuser(server) as db:
            db.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


@contextmanager
def _superuser(
    server: EmbeddedPostgres,
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    url = server.url(roles.SUPERUSER, "postgres")
    with psycopg.connect(url, autocommit=True) as db:
        yield db
