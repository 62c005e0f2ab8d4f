"""A fresh, migrated database in milliseconds: copied from a template."""

from __future__ import annotations

import secrets
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import psycopg
from psycopg import sql

from votepyramid.keys.service import ElectionKeys
from votepyramid.stack import migrations, roles
from votepyramid.stack.postgres import EmbeddedPostgres

TEMPLATE = "template_migrated"

_KEYS: weakref.WeakSet[ElectionKeys] = weakref.WeakSet()


def know_keys() -> None:
    """Keep sight of all keys that are held: they are renewed until they are closed.

    Left open by a test, they would ask a database that is gone, and tell so in the
    middle of another test's log.
    """
    make = ElectionKeys.__init__

    @wraps(make)
    def making(keys: ElectionKeys, *given: Any, **named: Any) -> None:
        make(keys, *given, **named)
        _KEYS.add(keys)

    ElectionKeys.__init__ = making  # type: ignore[method-assign]


@dataclass(frozen=True)
class Database:
    """One database of the test server; the URLs are libpq's, with passwords.

    `users` are called before it goes, so that nobody asks it for anything any more.
    """

    name: str
    owner_url: str
    app_url: str
    sequencer_url: str
    superuser_url: str
    keeper_url: str
    admin_url: str
    closer_url: str
    exporter_url: str
    users: list[Callable[[], object]] = field(default_factory=list, repr=False)


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
    made = Database(
        name,
        server.url(roles.OWNER, name),
        server.url(roles.APPLICATION, name),
        server.url(roles.SEQUENCER, name),
        server.url(roles.SUPERUSER, name),
        server.url(roles.KEEPER, name),
        server.url(roles.ADMINISTRATORS, name),
        server.url(roles.CLOSER, name),
        server.url(roles.EXPORTER, name),
    )
    try:
        yield made
    finally:
        for leave in made.users:
            leave()
        for keys in [keys for keys in _KEYS if keys._engine.url.database == name]:
            keys.close()
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
