"""Votes that were answered with 202 and whose workflow is gone.

A workflow can be terminated by an operator, and a web process can die between the
end of a group and the note of it. Such a vote's status would say "pending" for ever
and `election unlink` would wait for it. Settled, it is as if never sent: its token is
unused, and the same bytes can be sent again while the election takes votes.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select

from votepyramid.elections import service as elections
from votepyramid.engine import control
from votepyramid.settings import Settings
from votepyramid.votes import service
from votepyramid.votes.models import VoteGroup, VoteSubmission
from workflows.messages import alone


@dataclass(frozen=True)
class Settled:
    """Receipt hashes: `ended` were settled now, `running` are still under way."""

    ended: list[str]
    running: list[str]


@dataclass(frozen=True)
class _Pending:
    receipt_hash: str
    group_id: str

    @property
    def workflows(self) -> tuple[str, str]:
        """Where it can be: in its group, or by itself after leaving it."""
        return self.group_id, alone("vote", self.receipt_hash)


def settle(engine: Engine, settings: Settings, election: str) -> Settled:
    """Settle what no workflow holds any more. Safe to repeat.

    Raises Refused(ELECTION_UNKNOWN) and TemporalAway.
    """
    with engine.connect() as connection:
        elections.get(connection, election)
        waiting = _pending(connection, election)
    held = control.running(settings, [w for one in waiting for w in one.workflows])
    ended = [one for one in waiting if not held.intersection(one.workflows)]
    with engine.begin() as connection:
        for one in ended:
            service.settle_pending(connection, one.receipt_hash, service.ENDED)
    return Settled(
        [one.receipt_hash for one in ended],
        [one.receipt_hash for one in waiting if one not in ended],
    )


def _pending(connection: Connection, election: str) -> list[_Pending]:
    recorded = select(VoteSubmission.id).where(
        VoteSubmission.receipt_hash == VoteGroup.receipt_hash,
        VoteSubmission.status == "accepted",
    )
    rows = connection.execute(
        select(VoteGroup.receipt_hash, VoteGroup.group_id)
        .where(
            VoteGroup.election == election,
            VoteGroup.outcome.is_(None),
            ~recorded.exists(),
        )
        .order_by(VoteGroup.receipt_hash)
    )
    return [_Pending(row.receipt_hash, row.group_id) for row in rows]
