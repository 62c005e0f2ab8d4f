"""What the audit log is made of: each event, as an entry's bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, any_, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY

from votepyramid.audit.kind import Cause
from votepyramid.audit.kinds import KINDS
from votepyramid.audit.models import AuditEvent
from votepyramid.logs.store import LogDamaged
from votepyramid.protocol.auditevent import (
    AuditEntry,
    encode_entry,
    whole_hour,
    whole_second,
)
from votepyramid.protocol.encoding import NotCanonical, ProtocolError, decimal

_EVENTS = select(
    AuditEvent.id,
    AuditEvent.election,
    AuditEvent.kind,
    AuditEvent.subject,
    AuditEvent.detail,
    AuditEvent.created_at,
    AuditEvent.nonce,
).where(AuditEvent.id == any_(bindparam("ids", type_=ARRAY(BigInteger))))


def entries(connection: Connection, election: str, ids: Sequence[str]) -> list[bytes]:
    """The entries of these events, in the order asked for.

    Raises LogDamaged for an event that is gone, is no entry, or is of another
    election, and for what is no event's id.
    """
    wanted = [_id(one) for one in ids]
    rows = {row.id: row for row in connection.execute(_EVENTS, {"ids": wanted})}
    return [_entry(election, one, rows.get(one)) for one in wanted]


def _id(subject: str) -> int:
    try:
        return decimal(subject)
    except NotCanonical:
        # Quoted, so that it is found in the queue; who wrote it chose how long it is.
        raise LogDamaged(
            f"{subject[:64]!r} waits for the audit log, and is no event's id"
        ) from None


def _entry(election: str, wanted: int, row: Row[Any] | None) -> bytes:
    if row is None:
        raise LogDamaged(f"the event {wanted} waits for the audit log, and is gone")
    if row.election != election:
        raise LogDamaged(
            f"the event {wanted} waits for the audit log of {election}, and is of "
            "another election"
        )
    kind = KINDS.get(row.kind)
    # Of a kind that this code does not know it cannot say who causes it.
    coarse = kind is None or kind.cause is Cause.VOTER
    at = whole_hour(row.created_at) if coarse else whole_second(row.created_at)
    detail = {name: _whole(value) for name, value in row.detail.items()}
    entry = AuditEntry(at, detail, row.election, row.kind, row.nonce.bytes, row.subject)
    try:
        return encode_entry(entry)
    except ProtocolError as error:
        raise LogDamaged(f"the event {wanted} was altered: {error}") from None


def _whole(value: Any) -> Any:
    """A number as JSON has it: Postgres keeps the zeroes of 1.00, which Python takes
    for a fraction."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
