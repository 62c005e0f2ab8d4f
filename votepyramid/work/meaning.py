"""What an act on a workflow would mean for the votes or claims inside it.

Worked out from Postgres, whatever the workflow believes: a step may have committed
without the workflow having been told. Only ids come from the workflow.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, Connection, Row, Uuid, cast, func, select

from votepyramid.engine.acts import Act, obstacle
from votepyramid.engine.listing import State
from votepyramid.engine.timeline import Work
from votepyramid.votes.holding import ENDED
from votepyramid.votes.models import VoteGroup, VoteSubmission, decided
from workflows.messages import RECORD_VOTES

RECORDED = "recorded"
REFUSED = "refused"
ELSEWHERE = "elsewhere"
HERE = "here"

WAIT = "wait"


@dataclass(frozen=True)
class Fate:
    """Where one vote stands.

    `where` is recorded (in Postgres for good), refused, elsewhere (another workflow
    holds it: `holders`) or here (nothing but this workflow has it). `told` when its
    voter was answered with 202 or can have been.
    """

    receipt_hash: str
    where: str
    holders: tuple[str, ...] = ()
    told: bool = False


@dataclass(frozen=True)
class Meaning:
    """Where the votes stand, of claims how many have a token, and what acts would do.

    `acts` has a sentence for "wait" and for each act that can be done now, by its
    name; nothing for a workflow that has ended or holds neither votes nor claims.
    """

    said: str
    votes: tuple[Fate, ...]
    claims: int
    issued: int
    acts: dict[str, str]

    def count(self, where: str) -> int:
        return sum(fate.where == where for fate in self.votes)


def meaning(connection: Connection, work: Work) -> Meaning:
    """Read Postgres after Temporal: a vote can become recorded, never unrecorded."""
    running = work.state is State.RUNNING
    if work.voters:
        issued = _issued(connection, work)
        said = f"{_many(len(work.voters), 'claim')}, {issued} with a token already."
        acts = _acts_on_claims(work) if running else {}
        return Meaning(said, (), len(work.voters), issued, _possible(work, acts))
    if not work.votes:
        return Meaning("No votes and no claims inside.", (), 0, 0, {})
    fates = tuple(_fates(connection, work))
    acts = _acts(work, fates) if running else {}
    return Meaning(_said(work, fates), fates, 0, 0, _possible(work, acts))


def _possible(work: Work, acts: dict[str, str]) -> dict[str, str]:
    """Those that can be done now; waiting always can."""
    return {
        name: said
        for name, said in acts.items()
        if name == WAIT or obstacle(work, Act(name)) is None
    }


def _issued(connection: Connection, work: Work) -> int:
    refs = [uuid.UUID(ref) for ref in work.voters]
    # A function of the database: the administrators' role sees nobody's token.
    counted = func.tokens_issued(work.election, cast(refs, ARRAY(Uuid)))
    return int(connection.execute(select(counted)).scalar_one())


def _fates(connection: Connection, work: Work) -> list[Fate]:
    statuses: dict[str, set[str]] = {}
    for row in connection.execute(
        select(VoteSubmission.receipt_hash, VoteSubmission.status).where(
            decided(work.votes)
        )
    ):
        statuses.setdefault(row.receipt_hash, set()).add(row.status)
    noted = {
        row.receipt_hash: row
        for row in connection.execute(
            select(VoteGroup.receipt_hash, VoteGroup.held_by, VoteGroup.outcome).where(
                VoteGroup.receipt_hash.in_(work.votes)
            )
        )
    }
    return [
        _fate(work.workflow_id, vote, statuses.get(vote, set()), noted.get(vote))
        for vote in work.votes
    ]


def _fate(
    workflow_id: str, vote: str, statuses: set[str], noted: Row[Any] | None
) -> Fate:
    if "accepted" in statuses:
        return Fate(vote, RECORDED, told=noted is not None)
    if noted is None:
        return Fate(vote, REFUSED if statuses else HERE)
    if noted.outcome is not None:
        # One that was ended before is as if never sent, and here if it was sent again.
        return Fate(vote, HERE if noted.outcome == ENDED else REFUSED, told=True)
    others = tuple(one for one in noted.held_by if one != workflow_id)
    return Fate(vote, ELSEWHERE if others else HERE, others, told=True)


def _said(work: Work, fates: Sequence[Fate]) -> str:
    counted = Counter(fate.where for fate in fates)
    parts = [
        f"{counted[where]} {said}"
        for where, said in (
            (RECORDED, "recorded"),
            (REFUSED, "refused"),
            (ELSEWHERE, "held by another workflow"),
            (HERE, "only here" if work.state is State.RUNNING else "as if never sent"),
        )
        if counted[where]
    ]
    return f"{_many(len(fates), 'vote')}: {', '.join(parts)}."


def _acts(work: Work, fates: Sequence[Fate]) -> dict[str, str]:
    here = sum(fate.where == HERE for fate in fates)
    ended = _ended(work, here)
    return {
        **_shared("vote", work),
        Act.CANCEL: f"The workflow is asked to end, by a worker. {ended}",
        Act.TERMINATE: ended,
        Act.RESET: "The steps are done again from there. What is recorded is found "
        "again with the same receipt, the rest is tried anew; none is recorded twice.",
    }


def _shared(noun: str, work: Work) -> dict[str, str]:
    paused = any(step.state in ("paused", "pausing") for step in work.steps)
    wait = "The step is tried again by itself until it succeeds."
    return {
        WAIT: "The step stays paused until somebody resumes it." if paused else wait,
        Act.RETRY: f"The step is tried at once. No {noun}'s fate changes.",
        Act.PAUSE: "The step is not tried any more until somebody resumes it; an "
        f"attempt under way may still succeed. No {noun}'s fate changes, and who waits "
        "for it goes on waiting.",
        Act.RESUME: f"The step is tried at once. No {noun}'s fate changes.",
    }


def _ended(work: Work, here: int) -> str:
    if not here:
        return "No vote is lost: none is only here."
    said = (
        f"{_many(here, 'vote')} not recorded will be as if never sent: the token stays "
        "unused, and the same bytes can be sent again while the election takes votes."
    )
    if under_way(work):
        return f"An attempt may be under way and still record them. If not: {said}"
    return said


def under_way(work: Work) -> bool:
    """Whether an attempt to record can be under way, whatever becomes of its workflow.

    Before a step is handed to Temporal the steps are tried unseen.
    """
    return not any(step.pending for step in work.steps) or records(work)


def records(work: Work) -> bool:
    """Whether an attempt to record is under way, as far as Temporal knows."""
    return any(
        step.name == RECORD_VOTES and step.state in ("running", "pausing", "canceling")
        for step in work.steps
        if step.pending
    )


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _acts_on_claims(work: Work) -> dict[str, str]:
    ended = (
        "Who has a token keeps it; who has none gets one by claiming again while the "
        "election takes claims."
    )
    return {
        **_shared("claim", work),
        Act.CANCEL: ended,
        Act.TERMINATE: ended,
        Act.RESET: "The steps are done again from there. A token that was issued is "
        "found again; no voter gets two.",
    }
