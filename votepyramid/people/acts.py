"""Acts on people, as audit events: in the transaction that does them.

They belong to no one election, and so are in the audit log of every one that is not
over. An event holds names, roles and counts; no secret, no id of a key, no address.
Signing in and out are no acts: they are lines of the log, as whoever guesses must not
be able to grow what is kept for ever.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from votepyramid.audit import service as audit
from votepyramid.audit.operators import who
from votepyramid.protocol.auditevent import MAX_DETAIL_TEXT


def note(
    connection: Connection, kind: str, person: str | None, **detail: str | int
) -> str:
    """Append the event, in the caller's transaction; who acts, for the log."""
    audit.append_to_all(connection, audit.Event(kind, person, detail))
    return who(connection)


def in_words(roles: Iterable[str]) -> str:
    """Roles as an event has them."""
    return " ".join(roles)


def issuer_of(issuer: str) -> str:
    """An identity provider as an event has it: of a long address the beginning."""
    return issuer[:MAX_DETAIL_TEXT]
