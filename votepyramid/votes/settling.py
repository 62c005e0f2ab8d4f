"""Votes that were answered with 202 and whose workflow is gone.

A workflow can be terminated by an operator, and a web process can die between the
end of a group and the note of it. Such a vote's status would say "pending" for ever
and `election unlink` would wait for it. Settled, it is as if never sent: its token is
unused, and the same bytes can be sent again while the election takes votes.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select

from votepyramid.audit import service as audit
from votepyramid.elections import service as elections
from votepyramid.engine import control
from votepyramid.settings import Settings
from votepyramid.votes import holding
from votepyramid.votes.models import UNDER_WAY, VoteGroup, VoteSubmission
from workflows.messages import alone


@dataclass(frozen=True)
class Settled:
    """Receipt hashes: `ended` were settled now, `running` are still under way.

    Those of `lately` no workflow holds any more; but it ended so shortly ago that an
    attempt to record them may be under way: settle again in ATTEMPT_TIMEOUT.
    """

    ended: list[str]
    running: list[str]
    lately: list[str]


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

    def ended(self, alive: set[str]) -> bool:
        return not alive & self.workflows

    def let_go(self, alive: set[str]) -> list[str]:
        """The holders that have ended, unless whoever lives is none of the noted."""
        gone = [one for one in self.held_by if one not in alive]
        return gone if self.ended(alive) or len(gone) < len(self.held_by) else []


def settle(
    engine: Engine,
    settings: Settings,
    election: str,
    *,
    holder: str | None = None,
    reason: str | None = None,
    second: str | None = None,
) -> Settled:
    """Settle what no workflow holds any more, or of that what `holder` had. Safe to
    repeat.

    Who acts is whom `engine` acts for, `second` who agreed. As the owner's role or that
    of the administrators' pages. Raises Refused(ELECTION_UNKNOWN) and TemporalAway.
    """
    with engine.connect() as connection:
        elections.get(connection, election)
        waiting = _pending(connection, election, holder)
    found = control.alive(settings, [w for one in waiting for w in one.workflows])
    alive = found.running | found.lately
    with engine.begin() as connection:
        for one in waiting:
            for workflow in one.let_go(alive):
                holding.ended(connection, [one.receipt_hash], workflow)
        ended = [one.receipt_hash for one in waiting if one.ended(alive)]
        if ended:
            detail = {"ended": len(ended), **audit.why(reason, second)}
            event = audit.Event("votes_settled", detail=detail)
            audit.append(connection, election, [event])
    held = [one for one in waiting if not one.ended(alive)]
    return Settled(
        ended,
        [one.receipt_hash for one in held if not one.ended(found.running)],
        [one.receipt_hash for one in held if one.ended(found.running)],
    )


def _pending(
    connection: Connection, election: str, holder: str | None
) -> list[_Pending]:
    recorded = select(VoteSubmission.receipt_hash).where(
        VoteSubmission.receipt_hash == VoteGroup.receipt_hash,
        VoteSubmission.status == "accepted",
    )
    query = select(VoteGroup.receipt_hash, VoteGroup.group_id, VoteGroup.held_by).where(
        VoteGroup.election == election, UNDER_WAY, ~recorded.exists()
    )
    if holder is not None:
        query = query.where(holding.holds(holder))
    rows = connection.execute(query.order_by(VoteGroup.receipt_hash))
    return [_Pending(row.receipt_hash, row.group_id, row.held_by) for row in rows]
