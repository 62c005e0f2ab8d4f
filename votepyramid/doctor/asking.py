"""Connections of the checks: short, read only, and a fault of theirs is told once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from votepyramid.db import is_fault, make_engine
from votepyramid.doctor.check import Unchecked
from votepyramid.settings import Settings
from votepyramid.stack import migrations

# Beneath the limit of a check, so that a slow database is told as what it is.
_STATEMENT_MS = 3_000


def engine(url: str) -> Engine:
    """A small pool. Raises Unchecked for what is no URL."""
    try:
        return make_engine(
            url,
            pool_size=4,
            application_name="votepyramid-doctor",
            statement_timeout_ms=_STATEMENT_MS,
        )
    except (ArgumentError, ImportError):
        raise Unchecked("it is not a postgresql:// URL") from None


@contextmanager
def connected(to: Engine) -> Iterator[Connection]:
    """One transaction of a few reads, in which nothing can be written."""
    with to.connect() as connection:
        yield connection.execution_options(postgresql_readonly=True)


def first_line(error: Exception) -> str:
    """What Postgres or its driver said, without the rest."""
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    return said[0].strip() if said else type(error).__name__


class Owner:
    """The database as its owner: the only role that sees what all others may do."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.owner_database_url
        self._engine: Engine | None = None
        with suppress(Unchecked):
            self._engine = engine(self._url) if self._url else None

    @contextmanager
    def connection(self, *, any_schema: bool = False) -> Iterator[Connection]:
        """Raises Unchecked without the URL, without the server, or on another schema.

        The last, because tables of another revision are other tables: `schema` says so.
        """
        if self._engine is None:
            raise Unchecked("it takes the owner's role: see owner-login")
        try:
            with connected(self._engine) as connection:
                if not any_schema and revision(connection) != head():
                    raise Unchecked("the schema is not this code's: see schema")
                yield connection
        except (DBAPIError, PoolTimeout) as error:
            see = ": see owner-login" if is_fault(error) else f": {first_line(error)}"
            raise Unchecked(f"the database does not answer{see}") from None


def revision(connection: Connection) -> str | None:
    """Where the schema is; None before the first migration."""
    return MigrationContext.configure(connection).get_current_revision()


@cache
def head() -> str | None:
    """The newest revision that this code knows."""
    return migrations.head()
