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
from votepyramid.votes import holding
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
    held_by: list[str]

    @property
    def workflows(self) -> set[str]:
        """Where it can be: in a group, or by itself, also just before or after
        that was noted."""
        own = alone("vote", self.receipt_hash)
        return {self.group_id, own, *self.held_by}

    def ended(self, running: set[str]) -> bool:
        return not running & self.workflows

    def let_go(self, running: set[str]) -> list[str]:
        """The holders that have ended, unless whoever runs is none of the noted."""
        holders = self.held_by or [self.group_id]
        gone = [one for one in holders if one not in running]
        return gone if self.ended(running) or len(gone) < len(holders) else []


def settle(engine: Engine, settings: Settings, election: str) -> Settled:
    """Settle what no workflow holds any more. Safe to repeat.

    Raises Refused(ELECTION_UNKNOWN) and TemporalAway.
    """
    with engine.connect() as connection:
        elections.get(connection, election)
        waiting = _pending(connection, election)
    running = control.running(settings, [w for one in waiting for w in one.workflows])
    with engine.begin() as connection:
        for one in waiting:
            for workflow in one.let_go(running):
                holding.settle(connection, one.receipt_hash, workflow, holding.ENDED)
    return Settled(
        [one.receipt_hash for one in waiting if one.ended(running)],
        [one.receipt_hash for one in waiting if not one.ended(running)],
    )


def _pending(connection: Connection, election: str) -> list[_Pending]:
    recorded = select(VoteSubmission.id).where(
        VoteSubmission.receipt_hash == VoteGroup.receipt_hash,
        VoteSubmission.status == "accepted",
    )
    rows = connection.execute(
        select(VoteGroup.receipt_hash, VoteGroup.group_id, VoteGroup.held_by)
        .where(
            VoteGroup.election == election,
            VoteGroup.outcome.is_(None),
            ~recorded.exists(),
        )
        .order_by(VoteGroup.receipt_hash)
    )
    return [_Pending(row.receipt_hash, row.group_id, row.held_by) for row in rows]
