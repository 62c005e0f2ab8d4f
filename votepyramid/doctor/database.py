"""The database: who can log in, which server it is, its clock and its schema."""

from __future__ import annotations

import time

from sqlalchemy import Connection, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from votepyramid.doctor.asking import (
    Owner,
    connected,
    engine,
    first_line,
    head,
    revision,
)
from votepyramid.doctor.check import Check, Finding, Unchecked, ok, skipped, wrong
from votepyramid.settings import Settings

SUBJECT = "database"
OLDEST_SERVER = 150_000
# Elections open and close by the database's clock, sign-ins end by the host's.
CLOCK_S = 2.0


def checks(settings: Settings, owner: Owner) -> list[Check]:
    """Those of the subject, in the order in which they are shown."""
    return [
        Check("database-login", SUBJECT, lambda: _login(settings)),
        Check("owner-login", SUBJECT, lambda: _owner_login(settings)),
        Check("server", SUBJECT, lambda: _server(owner)),
        Check("clock", SUBJECT, lambda: _clock(owner)),
        Check("schema", SUBJECT, lambda: _schema(owner)),
    ]


def _login(settings: Settings) -> Finding:
    if not settings.database_url:
        return skipped("VOTEPYRAMID_DATABASE_URL is not set here")
    who = _who(settings.database_url, "VOTEPYRAMID_DATABASE_URL")
    if isinstance(who, Finding):
        return who
    if who not in _granted(settings):
        return wrong(
            f"VOTEPYRAMID_DATABASE_URL logs in as {who}, which is neither app_role, "
            "sequencer_role, keeper_role, closer_role, exporter_role nor admin_role",
            "Give the process the URL of its own role: another one may do more than "
            "it should, or less than it needs.",
        )
    return ok(f"logs in as {who}")


def _owner_login(settings: Settings) -> Finding:
    if not settings.owner_database_url:
        raise Unchecked(
            "the owner's URL is not known",
            "Set VOTEPYRAMID_OWNER_DATABASE_URL for this command.",
        )
    who = _who(settings.owner_database_url, "VOTEPYRAMID_OWNER_DATABASE_URL")
    if isinstance(who, Finding):
        return who
    if who in _granted(settings):
        return wrong(
            f"VOTEPYRAMID_OWNER_DATABASE_URL logs in as {who}, not as the owner",
            "Set it to the URL of the role that owns the database.",
        )
    return ok(f"logs in as {who}")


def _granted(settings: Settings) -> set[str]:
    """The roles of processes; none of them is the owner's."""
    return {
        settings.app_role,
        settings.sequencer_role,
        settings.keeper_role,
        settings.closer_role,
        settings.exporter_role,
        settings.admin_role,
    }


def _who(url: str, setting: str) -> str | Finding:
    try:
        made: Engine = engine(url)
    except Unchecked as error:
        return wrong(f"{setting}: {error}", f"Set {setting} as docs/operations.md has.")
    try:
        with connected(made) as connection:
            return str(connection.execute(text("SELECT current_user")).scalar_one())
    except (DBAPIError, PoolTimeout) as error:
        return wrong(
            f"{setting} does not get in: {first_line(error)}",
            "Start the database, or correct host, role and password of the URL.",
        )
    finally:
        made.dispose()


def _server(owner: Owner) -> Finding:
    with owner.connection(any_schema=True) as connection:
        number = int(_setting(connection, "server_version_num"))
        name = _setting(connection, "server_version")
        encoding = _setting(connection, "server_encoding")
    if number < OLDEST_SERVER:
        return wrong(
            f"the server is PostgreSQL {name}, and 15 is the oldest that will do",
            "Upgrade the server.",
        )
    if encoding != "UTF8":
        return wrong(
            f"the database is encoded as {encoding}, not as UTF8",
            "Make the database anew with ENCODING 'UTF8' and restore into it.",
        )
    return ok(f"PostgreSQL {name}, {encoding}")


def _setting(connection: Connection, name: str) -> str:
    said = connection.execute(text("SELECT current_setting(:name)"), {"name": name})
    return str(said.scalar_one())


def _clock(owner: Owner) -> Finding:
    with owner.connection(any_schema=True) as connection:
        before = time.time()
        query = text("SELECT extract(epoch FROM clock_timestamp())")
        theirs = float(connection.execute(query).scalar_one())
        after = time.time()
    # The answer's way is no difference: anything between the two times is right.
    ahead = max(theirs - after, 0.0) or min(theirs - before, 0.0)
    if abs(ahead) > CLOCK_S:
        told = "ahead of" if ahead > 0 else "behind"
        return wrong(
            f"the database's clock is {abs(ahead):.1f} s {told} this host's",
            "Have both set by NTP: elections open and close by the database's clock.",
        )
    return ok("the database's clock and this host's agree")


def _schema(owner: Owner) -> Finding:
    with owner.connection(any_schema=True) as connection:
        at = revision(connection)
    wanted = head()
    if at == wanted:
        return ok(f"at {at}")
    if at is not None and wanted is not None and at > wanted:
        return wrong(
            f"the schema is at {at}, and this code knows none after {wanted}",
            "Run the release that the database was migrated by.",
        )
    return wrong(
        f"the schema is at {at or 'nothing'}, and this code needs {wanted}",
        "Run: votepyramid db upgrade",
    )
