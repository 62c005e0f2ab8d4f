"""What happened before an export began is in the published logs before it is read.

A vote and an event wait for their log, mostly for `log_seconds`. An export that does
not wait for them is of an election whose end no signed checkpoint holds yet.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import BigInteger, Connection, Engine, cast, func, select

from votepyramid.audit.kinds import AFTER_END, OF_EXPORTS
from votepyramid.audit.models import AuditEvent
from votepyramid.auditors.case import Tell
from votepyramid.logs import store
from votepyramid.logs.models import LogHead, LogQueue
from votepyramid.logs.store import AUDIT, RECEIPTS, Log
from votepyramid.protocol.auditevent import parse_entry
from votepyramid.protocol.encoding import ProtocolError

PAUSE_S = 0.5
_READ = 10_000


def wait_for_logs(engine: Engine, election: str, wait: float, tell: Tell) -> int:
    """Wait until both logs have published all that waits now, `wait` seconds at most.

    How many entries are still behind then. What comes meanwhile is not waited for, nor
    are events that tell of exports.
    """
    until = time.monotonic() + wait
    behind = _Behind(engine, election)
    first = left = behind.count()
    while left and time.monotonic() < until:
        tell("log entries awaited", max(0, first - left), first)
        time.sleep(min(PAUSE_S, wait))
        left = behind.count()
    if first:
        tell("log entries awaited", max(0, first - left), first)
    return left


class _Behind:
    """The entries of an election that waited when this was made."""

    def __init__(self, engine: Engine, election: str) -> None:
        self._engine, self._election = engine, election
        with engine.connect() as connection:
            clock = select(func.clock_timestamp())
            self._began: datetime = connection.execute(clock).scalar_one()
        # How long each log was when the last of them had been appended.
        self._appended: dict[str, int] = {}

    def count(self) -> int:
        """How many of them are in no published checkpoint."""
        with self._engine.connect() as connection:
            return sum(self._of(connection, kind) for kind in (RECEIPTS, AUDIT))

    def _of(self, connection: Connection, kind: str) -> int:
        log = Log(self._election, kind)
        # One moment for both: an entry moves from the queue to the log.
        waits = (
            select(func.count())
            .select_from(LogQueue)
            .where(*store.of(LogQueue, log), LogQueue.queued_at <= self._began)
        )
        if kind == AUDIT:
            # That this very export was asked for is one of those that it leaves out.
            waits = waits.where(
                AuditEvent.id == cast(LogQueue.subject, BigInteger),
                AuditEvent.kind.not_in(OF_EXPORTS),
            )
        queued = waits.scalar_subquery()
        size = select(LogHead.size).where(*store.of(LogHead, log)).scalar_subquery()
        public = select(LogHead.checkpoint_size).where(*store.of(LogHead, log))
        waiting, appended, published = connection.execute(
            select(
                queued,
                func.coalesce(size, 0),
                func.coalesce(public.scalar_subquery(), 0),
            )
        ).one()
        if waiting:
            return int(waiting + appended - published)
        wanted = self._appended.setdefault(kind, appended)
        return max(0, int(wanted - published))


def unlogged(connection: Connection, election: str) -> int:
    """Votes and events of a finished election that are in no published checkpoint.

    All but what comes after the end too (`AFTER_END`).
    """
    receipts, events = Log(election, RECEIPTS), Log(election, AUDIT)
    votes = _queued(connection, receipts) + sum(
        1 for _ in _beyond(connection, receipts)
    )
    late = select(func.count()).where(
        *store.of(LogQueue, events),
        AuditEvent.id == cast(LogQueue.subject, BigInteger),
        AuditEvent.kind.not_in(AFTER_END),
    )
    more = sum(_kind(entry) not in AFTER_END for entry in _beyond(connection, events))
    return votes + connection.execute(late).scalar_one() + more


def _kind(entry: bytes) -> str:
    """Of an event; of what is none, none."""
    try:
        return parse_entry(entry).kind
    except ProtocolError:
        return ""


def _queued(connection: Connection, log: Log) -> int:
    query = select(func.count()).select_from(LogQueue).where(*store.of(LogQueue, log))
    return connection.execute(query).scalar_one()


def _beyond(connection: Connection, log: Log) -> Iterator[bytes]:
    """The entries that were appended after the published checkpoint."""
    head = store.head(connection, log)
    if head is None:
        return
    for begin in range(head.checkpoint_size, head.size, _READ):
        end = min(begin + _READ, head.size)
        yield from store.entries(connection, log, begin, end)
