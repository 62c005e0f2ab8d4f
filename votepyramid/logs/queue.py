"""What waits for its log: how much, for how long, and in which order it is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Connection,
    and_,
    any_,
    bindparam,
    column,
    delete,
    func,
    outerjoin,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import ARRAY

from votepyramid.logs import metrics, store
from votepyramid.logs.models import LogHead, LogQueue
from votepyramid.logs.store import Log

_REMOVE = delete(LogQueue).where(
    LogQueue.id == any_(bindparam("ids", type_=ARRAY(BigInteger)))
)
# Of a room above; what waits for an election that is only prepared waits on.
_ELECTIONS = table("elections", column("id"))


@dataclass(frozen=True)
class Waiting:
    """So many entries wait for a log."""

    log: Log
    items: int


@dataclass(frozen=True)
class Behind:
    """A log's entries, those under its newest checkpoint, and those that wait.

    The oldest of these has `waited` so many seconds; None where none waits.
    """

    log: Log
    size: int
    public: int
    waiting: int
    waited: float | None


@dataclass(frozen=True)
class Taken:
    """A row of the queue."""

    id: int
    subject: str


def waiting(connection: Connection, kinds: Sequence[str]) -> list[Waiting]:
    """The logs that something waits for. Shown as metrics, too."""
    oldest = func.extract(
        "epoch", func.clock_timestamp() - func.min(LogQueue.queued_at)
    )
    rows = connection.execute(
        select(LogQueue.election, LogQueue.kind, func.count(), oldest)
        .join(_ELECTIONS, _ELECTIONS.c.id == LogQueue.election)
        .where(LogQueue.kind.in_(kinds))
        .group_by(LogQueue.election, LogQueue.kind)
    )
    found = {
        (election, kind): (items, float(seconds))
        for election, kind, items, seconds in rows
    }
    metrics.show_waiting(found)
    return [Waiting(Log(*names), items) for names, (items, _) in found.items()]


def behind(connection: Connection, election: str | None = None) -> list[Behind]:
    """Every log that has entries or awaits some, of one election or of all."""
    oldest = func.clock_timestamp() - func.min(LogQueue.queued_at)
    waits = (
        select(
            LogQueue.election,
            LogQueue.kind,
            func.count().label("waiting"),
            func.extract("epoch", oldest).label("seconds"),
        )
        .group_by(LogQueue.election, LogQueue.kind)
        .subquery()
    )
    of = func.coalesce(LogHead.election, waits.c.election)
    kind = func.coalesce(LogHead.kind, waits.c.kind)
    same = and_(LogHead.election == waits.c.election, LogHead.kind == waits.c.kind)
    query = select(
        of,
        kind,
        func.coalesce(LogHead.size, 0),
        func.coalesce(LogHead.checkpoint_size, 0),
        func.coalesce(waits.c.waiting, 0),
        waits.c.seconds,
    ).select_from(outerjoin(LogHead, waits, same, full=True))
    if election is not None:
        query = query.where(of == election)
    return [
        Behind(Log(of, kind), size, public, items, None if s is None else float(s))
        for of, kind, size, public, items, s in connection.execute(
            query.order_by(of, kind)
        )
    ]


def take(connection: Connection, each: Log, most: int) -> list[Taken]:
    """The first of what waits, in the order of the log."""
    rows = connection.execute(
        select(LogQueue.id, LogQueue.subject)
        .where(*store.of(LogQueue, each))
        .order_by(LogQueue.sort)
        .limit(most)
    )
    return [Taken(row.id, row.subject) for row in rows]


def remove(connection: Connection, taken: Sequence[Taken]) -> bool:
    """Take these rows off the queue; whether all were still on it."""
    removed = connection.execute(_REMOVE, {"ids": [one.id for one in taken]})
    return removed.rowcount == len(taken)
