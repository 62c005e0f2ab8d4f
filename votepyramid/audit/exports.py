"""That an election was exported for its auditors: an event for each finished export."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, select

from votepyramid.audit import service as audit
from votepyramid.audit.models import AuditEvent

_KIND = "audit_exported"


@dataclass(frozen=True)
class Wanting:
    """What an export wants to be whole.

    `lacking`: of how many votes and tokens there is no history; `waiting`: how many
    entries had to be in a published log and were not; `unopened`: how many stored
    ballots do not open.
    """

    lacking: int = 0
    waiting: int = 0
    unopened: int = 0

    def __bool__(self) -> bool:
        return bool(self.lacking or self.waiting or self.unopened)


def note(
    connection: Connection, election: str, *, status: str, sums: str, wanting: Wanting
) -> None:
    """Append the event. `sums` is the SHA-256 of the export's list of files, as hex.

    `status` is the election's when the tables were read.
    """
    detail = {"status": status, "sums": sums, **asdict(wanting)}
    audit.append(connection, election, [audit.Event(_KIND, detail=detail)])


def whole_one(connection: Connection, election: str) -> bool:
    """Whether one was made since the election was finished that wants nothing.

    As the owner role. Whether anybody verified it is not known here.
    """
    wanted = {"status": "finished", **asdict(Wanting())}
    made = select(AuditEvent.id).where(
        AuditEvent.election == election,
        AuditEvent.kind == _KIND,
        AuditEvent.detail.contains(wanted),
    )
    return connection.execute(made.limit(1)).first() is not None
