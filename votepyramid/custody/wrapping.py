"""Which key-encryption key wrapped what, as the database tells."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, func, select, text

from votepyramid.audit import service as audit
from votepyramid.keys.models import WrappedKey


def kek() -> ColumnElement[bytes]:
    """The name of the key that wrapped it: with its length, its wrapped key's start."""
    size = func.get_byte(WrappedKey.wrapped, 0)
    return func.substr(WrappedKey.wrapped, 2, size)


def by_kek(connection: Connection) -> dict[str, int]:
    """How many wrapped keys are under each key-encryption key."""
    rows = connection.execute(
        select(kek(), func.count())
        .where(WrappedKey.wrapped.is_not(None))
        .group_by(text("1"))
    )
    return {bytes(name).decode("utf-8", "replace"): count for name, count in rows}


def tell_all(connection: Connection, event: audit.Event) -> None:
    """The event into the audit trail of every election that has keys."""
    elections = connection.scalars(select(WrappedKey.election).distinct())
    for election in sorted(elections):
        audit.append(connection, election, [event])
