"""Appends audit events inside the transaction they describe.

`kinds.py` says which there are. No event holds a token id, bearer or voter id. From
here the database itself takes each into the audit log (see the migration).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select, text

from votepyramid.audit.kind import BY, NONE, Cause
from votepyramid.audit.kinds import KINDS
from votepyramid.audit.operators import who
from votepyramid.elections.models import Election
from votepyramid.protocol.auditevent import check_event

# One statement for all: each statement runs the trigger that queues them for the log.
_INSERT = text(
    "INSERT INTO audit_events (election, kind, subject, detail) "
    "SELECT :election, kind, subject, detail::jsonb FROM unnest("
    "CAST(:kinds AS text[]), CAST(:subjects AS text[]), CAST(:details AS text[])) "
    "AS event (kind, subject, detail)"
)


# Nothing is issued, recorded or decided any more in those that are not among these.
_NOT_OVER = ("created", "open", "closed")


class UnknownEvent(ValueError):
    """An event of no kind in `KINDS`, or whose detail is not its kind's."""


@dataclass(frozen=True)
class Event:
    """One event; `detail` is flat JSON of codes and counts.

    An operator's event gets who acts when it is appended. Raises UnknownEvent, and
    NotCanonical for what cannot be an entry of the log.
    """

    kind: str
    subject: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownEvent(f"no such kind of event: {self.kind!r}")
        if self.detail.keys() | {BY} != KINDS[self.kind].members | {BY}:
            raise UnknownEvent(f"the detail of {self.kind} has other members")
        check_event(self.kind, self.subject, self.detail)


def why(reason: str | None, second: str | None) -> dict[str, str]:
    """For the detail of an act: why it was done, and who agreed to it."""
    return {"reason": reason or NONE, "second": second or NONE}


def append(connection: Connection, election: str, events: Sequence[Event]) -> None:
    """Insert events in the caller's transaction; nothing happens for none."""
    if not events:
        return
    connection.execute(
        _INSERT,
        {
            "election": election,
            "kinds": [event.kind for event in events],
            "subjects": [event.subject for event in events],
            "details": [_detail(connection, event) for event in events],
        },
    )


def append_to_all(connection: Connection, event: Event) -> None:
    """The event into the audit log of every election that is not over.

    For what belongs to no one election: who may act in them. In the caller's
    transaction; nothing happens where there is no such election.
    """
    running = select(Election.id).where(Election.status.in_(_NOT_OVER))
    for election in connection.scalars(running.order_by(Election.id)).all():
        append(connection, election, [event])


def _detail(connection: Connection, event: Event) -> str:
    detail = dict(event.detail)
    if KINDS[event.kind].cause is Cause.OPERATOR:
        detail[BY] = who(connection)
    return json.dumps(detail)
