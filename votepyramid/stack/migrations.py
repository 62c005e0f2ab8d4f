"""Alembic, called from code: the migrations live beside the package."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from votepyramid.db import make_engine

ROOT = Path(__file__).resolve().parents[2]


def config(owner_url: str) -> Config:
    """Alembic's configuration for the database at `owner_url`."""
    made = Config()
    made.set_main_option("script_location", str(ROOT / "alembic"))
    made.set_main_option("path_separator", "os")
    made.attributes["url"] = owner_url
    return made


def upgrade(owner_url: str, revision: str = "head") -> None:
    """Bring the schema up to `revision`; nothing happens when it is there."""
    command.upgrade(config(owner_url), revision)


def downgrade(owner_url: str, revision: str) -> None:
    """Take the schema back to `revision` ("base": empty)."""
    command.downgrade(config(owner_url), revision)


def current(owner_url: str) -> str | None:
    """The revision the database is at, or None before the first migration."""
    engine = make_engine(owner_url, pool_size=1)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def head(owner_url: str = "") -> str | None:
    """The newest revision this code knows."""
    return ScriptDirectory.from_config(config(owner_url)).get_current_head()


def role_name(connection: Connection, role: str, setting: str) -> str:
    """A role's name as SQL has it, for a migration that grants it something.

    Raises RuntimeError when the database has no such role: it is to be created, or
    another one named in `setting`.
    """
    known = connection.execute(
        text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}
    )
    if known.first() is None:
        raise RuntimeError(
            f"role {role!r} does not exist: create it (CREATE ROLE {role} LOGIN "
            f"PASSWORD ...) or name yours in {setting}"
        )
    return connection.dialect.identifier_preparer.quote(role)
