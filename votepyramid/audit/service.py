"""Appends audit events inside the transaction they describe.

Kinds and subjects: `token_issued` and `claim_refused` name a keyed pseudonym,
`vote_accepted`, `vote_refused` and `token_reused` a receipt hash; an operator's
acts on an election and counts of refusals at the door name nobody. No event holds a
token id, bearer or voter id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert

from votepyramid.audit.models import AuditEvent

# Inline: the application role may add events, not read them, so no RETURNING.
_INSERT = insert(AuditEvent).inline()


@dataclass(frozen=True)
class Event:
    """One event; `detail` is flat JSON of codes and counts."""

    kind: str
    subject: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


def append(connection: Connection, election: str, events: Sequence[Event]) -> None:
    """Insert events in the caller's transaction; nothing happens for none."""
    if not events:
        return
    connection.execute(
        _INSERT,
        [
            {
                "election": election,
                "kind": event.kind,
                "subject": event.subject,
                "detail": event.detail,
            }
            for event in events
        ],
    )
