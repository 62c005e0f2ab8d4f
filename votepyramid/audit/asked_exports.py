"""Exports that are asked for on the administrators' pages, and where each stands.

    ask(engine, desk, election)     somebody wants one; who asks meanwhile joins it
    remove(engine, desk, export)    somebody wants one removed, or called off
    note_download(engine, export)   somebody is about to read one
    listed(connection)              all that are there, or on their way

Who acts is whom `engine` acts for. What is wanted stands in the database; workflows do
it, on a worker of the role `exporting`, which calls the rest.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from votepyramid.audit import service as audit
from votepyramid.audit.exports import Wanting
from votepyramid.audit.kind import NONE
from votepyramid.audit.models import AskedExport
from votepyramid.audit.operators import who
from votepyramid.elections import finishing
from votepyramid.elections import service as elections
from votepyramid.engine import exporting
from votepyramid.engine.control import Desk
from workflows import messages as m

SHOWN = 100
_TABLE: Any = AskedExport.__table__


class ExportRefused(Exception):
    """An export cannot be asked for, read or removed; the message says why."""


@dataclass(frozen=True)
class Made:
    """What an export came to.

    `status` is the election's when its tables were read, `bytes` those of the download,
    `sums` the SHA-256 of its list of files, as hex.
    """

    status: str
    files: int
    bytes: int
    sums: str
    wanting: Wanting


@dataclass(frozen=True)
class Asked:
    """One export; `made` and `finished_at` are None until it is finished.

    `removed_by` is who wants it gone.
    """

    id: uuid.UUID
    election: str
    asked_by: str
    asked_at: datetime
    finished_at: datetime | None
    made: Made | None
    removed_by: str | None

    @property
    def workflow(self) -> str:
        """What is at it while it is made, or removed."""
        if self.removed_by is not None:
            return m.removing(str(self.id))
        return m.exporting(self.election)

    @property
    def there(self) -> Made | None:
        """What it came to, if it can be read."""
        return self.made if self.removed_by is None else None


def ask(engine: Engine, desk: Desk, election: str) -> None:
    """Have an election exported, or join the export that is under way.

    Raises Refused(ELECTION_UNKNOWN), ExportRefused, and TemporalAway: then it is asked
    for, and asking again starts it.
    """
    with engine.begin() as connection:
        view = elections.get(connection, election)
        if not finishing.states(view):
            raise ExportRefused(
                f"the manifest of election {election!r} names no key for statements, "
                "being older than they are: nobody could check who made its export"
            )
        wanted = insert(AskedExport).values(election=election, asked_by=who(connection))
        made = connection.execute(
            wanted.on_conflict_do_nothing().returning(AskedExport.id)
        )
        if made.first() is not None:
            audit.append(connection, election, [audit.Event("export_asked")])
    exporting.start_or_join(desk, election)


def remove(engine: Engine, desk: Desk, export: uuid.UUID) -> None:
    """Have an export removed; one that is not finished is called off.

    Raises ExportRefused, and TemporalAway: then nobody reads it any more, and asking
    again has its files deleted.
    """
    with engine.begin() as connection:
        found = get(connection, export)
        changed = connection.execute(
            update(AskedExport)
            .where(AskedExport.id == export, AskedExport.removed_by.is_(None))
            .values(removed_by=who(connection))
        )
        if changed.rowcount:
            sums = found.made.sums if found.made is not None else NONE
            event = audit.Event("export_removed", detail={"sums": sums})
            audit.append(connection, found.election, [event])
    exporting.remove(desk, found.election, str(export))


def readable(connection: Connection, export: uuid.UUID) -> tuple[Asked, Made]:
    """One that can be read. Raises ExportRefused."""
    found = get(connection, export)
    if found.there is None:
        raise ExportRefused("this export is not finished, or is being removed")
    return found, found.there


def note_download(engine: Engine, export: uuid.UUID) -> None:
    """Somebody is about to read one. Raises ExportRefused."""
    with engine.begin() as connection:
        found, made = readable(connection, export)
        event = audit.Event("export_downloaded", detail={"sums": made.sums})
        audit.append(connection, found.election, [event])


def get(connection: Connection, export: uuid.UUID) -> Asked:
    """Raises ExportRefused for one that there is not, or not any more."""
    row = connection.execute(
        select(_TABLE).where(AskedExport.id == export, AskedExport.gone_at.is_(None))
    ).first()
    if row is None:
        raise ExportRefused("there is no such export any more")
    return _asked(row)


def listed(connection: Connection) -> list[Asked]:
    """The newest SHOWN whose files are not gone."""
    rows = connection.execute(
        select(_TABLE)
        .where(AskedExport.gone_at.is_(None))
        .order_by(AskedExport.asked_at.desc())
        .limit(SHOWN)
    )
    return [_asked(row) for row in rows]


def awaited(connection: Connection) -> int:
    """How many are to be made or removed."""
    counted = connection.scalar(
        select(func.count()).where(
            AskedExport.gone_at.is_(None),
            or_(AskedExport.sums.is_(None), AskedExport.removed_by.is_not(None)),
        )
    )
    return counted or 0


def wanted(connection: Connection, election: str) -> Asked | None:
    """The one that is to be made of an election."""
    row = connection.execute(
        select(_TABLE).where(AskedExport.election == election, *_UNDER_WAY)
    ).first()
    return None if row is None else _asked(row)


def is_wanted(connection: Connection, export: uuid.UUID) -> bool:
    """Whether it is still to be made."""
    query = select(AskedExport.id).where(AskedExport.id == export, *_UNDER_WAY)
    return connection.execute(query).first() is not None


def is_unwanted(connection: Connection, export: uuid.UUID) -> bool:
    """Whether its files are to be deleted."""
    query = select(AskedExport.id).where(
        AskedExport.id == export,
        AskedExport.removed_by.is_not(None),
        AskedExport.gone_at.is_(None),
    )
    return connection.execute(query).first() is not None


def finish(connection: Connection, export: uuid.UUID, made: Made) -> bool:
    """Note what it came to; False when it was called off meanwhile."""
    values = {**vars(made), **vars(made.wanting), "finished_at": func.clock_timestamp()}
    del values["wanting"]
    done = connection.execute(
        update(AskedExport).where(AskedExport.id == export, *_UNDER_WAY).values(values)
    )
    return done.rowcount == 1


def note_gone(connection: Connection, export: uuid.UUID) -> None:
    """Its files are gone, as was asked."""
    connection.execute(
        update(AskedExport)
        .where(AskedExport.id == export, AskedExport.removed_by.is_not(None))
        .values(gone_at=func.clock_timestamp())
    )


_UNDER_WAY = (AskedExport.sums.is_(None), AskedExport.removed_by.is_(None))


def _asked(row: Row[Any]) -> Asked:
    made = None
    if row.sums is not None:
        wanting = Wanting(row.lacking, row.waiting, row.unopened)
        made = Made(row.status, row.files, row.bytes, row.sums, wanting)
    return Asked(
        row.id,
        row.election,
        row.asked_by,
        row.asked_at,
        row.finished_at,
        made,
        row.removed_by,
    )
