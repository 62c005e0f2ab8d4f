"""Audit events for people to read: acts by their time, voters' events as logged.

Voters' events have no exact time here and stand in the order of the log, sorted by
batch: who reads them one after the other as they came could tell which claim belongs to
which vote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, or_, select, text
from sqlalchemy.sql.elements import ColumnElement

from votepyramid.audit.kind import BY, Cause
from votepyramid.audit.kinds import KINDS
from votepyramid.audit.models import AuditEvent
from votepyramid.logs import store
from votepyramid.logs.models import LogEntry
from votepyramid.logs.store import AUDIT, Log
from votepyramid.protocol.auditevent import AuditEntry, parse_entry
from votepyramid.protocol.encoding import jcs

PAGE = 50
# Entries of the log that are looked at for one page.
LOOKED_AT = 5_000
VOTERS = tuple(sorted(k.name for k in KINDS.values() if k.cause is Cause.VOTER))
ACTS = tuple(sorted(k.name for k in KINDS.values() if k.cause is not Cause.VOTER))

# Literally, as the index has it: of parameters the planner cannot tell.
_ACTS_ONLY = text("kind NOT IN ({})".format(", ".join(f"'{one}'" for one in VOTERS)))


@dataclass(frozen=True)
class Act:
    """What an operator or the engine itself did. `by` is None for the engine."""

    id: int
    at: datetime
    election: str
    kind: str
    subject: str | None
    by: str | None
    detail: dict[str, Any]


@dataclass(frozen=True)
class Logged:
    """A voter's event as it stands in the log, at `index`; its time is of the hour."""

    index: int
    event: AuditEntry


@dataclass(frozen=True)
class Acts:
    """A page, the newest first; `before` is where the next begins, None at the end."""

    found: list[Act]
    before: int | None


@dataclass(frozen=True)
class Events:
    """As `Acts`; so many entries were looked at for it."""

    found: list[Logged]
    before: int | None
    looked_at: int


def acts(
    connection: Connection,
    *,
    election: str | None = None,
    kind: str | None = None,
    before: int | None = None,
) -> Acts:
    """Of one election or all, of one kind or all of ACTS."""
    query = (
        select(
            AuditEvent.id,
            AuditEvent.created_at,
            AuditEvent.election,
            AuditEvent.kind,
            AuditEvent.subject,
            AuditEvent.detail,
        )
        .where(_ACTS_ONLY)
        .order_by(AuditEvent.id.desc())
        .limit(PAGE + 1)
    )
    if election is not None:
        query = query.where(AuditEvent.election == election)
    if kind is not None:
        query = query.where(AuditEvent.kind == kind)
    if before is not None:
        query = query.where(AuditEvent.id < before)
    found = [
        Act(
            row.id,
            row.created_at,
            row.election,
            row.kind,
            row.subject,
            row.detail.get(BY),
            {name: value for name, value in row.detail.items() if name != BY},
        )
        for row in connection.execute(query)
    ]
    shown = found[:PAGE]
    return Acts(shown, shown[-1].id if len(found) > PAGE else None)


def voters_events(
    connection: Connection,
    election: str,
    *,
    kind: str | None = None,
    subject: str | None = None,
    before: int | None = None,
) -> Events:
    """Out of the log, from its end or from the entry `before` backwards.

    With a `subject`, a receipt hash or a pseudonym, only its events. Looks at LOOKED_AT
    entries at most: the page may be short, or empty, and not the last.
    """
    head = store.head(connection, Log(election, AUDIT))
    end = min(before, head.size) if head and before is not None else head and head.size
    if not end:
        return Events([], None, 0)
    begin = max(0, end - LOOKED_AT)
    kinds = (kind,) if kind else VOTERS
    conditions = [or_(*(_says("kind", one) for one in kinds))]
    if subject is not None:
        conditions.append(_says("subject", subject))
    rows = connection.execute(
        select(LogEntry.index, LogEntry.entry)
        .where(
            LogEntry.election == election,
            LogEntry.kind == AUDIT,
            LogEntry.index >= begin,
            LogEntry.index < end,
            *conditions,
        )
        .order_by(LogEntry.index.desc())
        .limit(PAGE)
    )
    read = [Logged(index, parse_entry(entry)) for index, entry in rows]
    found = [
        one
        for one in read
        if one.event.kind in kinds and subject in (None, one.event.subject)
    ]
    reached = read[-1].index if len(read) == PAGE else begin
    return Events(found, reached or None, end - reached)


def _says(member: str, value: str) -> ColumnElement[bool]:
    """That an entry has this text in this member, or says so in its detail.

    Entries are canonical, so it stands there in one way only. Parsing thousands of
    them to show a few would take longer than a page may.
    """
    said = jcs({member: value})[1:-1]
    escaped = re.sub(rb"([%_\\])", rb"\\\1", said)
    return LogEntry.entry.op("LIKE", is_comparison=True)(b"%" + escaped + b"%")
