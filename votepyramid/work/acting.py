"""An act on a workflow: said what it means, noted in the audit log, and then done."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import Engine

from votepyramid.audit import service as audit
from votepyramid.audit.operators import acting_as, who
from votepyramid.elections import service as elections
from votepyramid.engine import acts, timeline
from votepyramid.engine.acts import Act
from votepyramid.engine.control import Desk, TemporalAway, WorkRefused
from votepyramid.engine.histories import timeless
from votepyramid.engine.listing import State
from votepyramid.engine.timeline import Work
from votepyramid.settings import is_operator_name
from votepyramid.votes import holding
from votepyramid.work.meaning import HERE, Meaning, records, under_way
from workflows.messages import ATTEMPT_TIMEOUT, CLAIM_TOKEN

LONGEST_REASON = 200
# How long a worker may take to end a workflow that was cancelled, before it is said
# that it has not yet.
CANCEL_S = 5.0
_REASON = re.compile(rf"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{LONGEST_REASON}}}")
_EVENTS = {
    Act.RETRY: "work_retried",
    Act.PAUSE: "work_paused",
    Act.RESUME: "work_resumed",
    Act.CANCEL: "work_canceled",
    Act.TERMINATE: "work_terminated",
    Act.RESET: "work_reset",
}


@dataclass(frozen=True)
class Order:
    """An act, why, and by whom; `by` None is who the engine acts for.

    `second` is the administrator who agreed, where `act.changes_fate`; None is noted
    as "none". `before` names the step that a reset goes back to. Raises WorkRefused.
    """

    act: Act
    reason: str
    by: str | None = None
    second: str | None = None
    before: str | None = None

    def __post_init__(self) -> None:
        checked_reason(self.reason)
        for name in (self.by, self.second):
            if name is not None and not is_operator_name(name):
                raise WorkRefused("a person's name has 1 to 64 characters, on one line")
        if self.second is not None and self.second == self.by:
            raise WorkRefused("the second administrator must be another one")
        if (self.before is not None) != (self.act is Act.RESET):
            raise WorkRefused("a reset, and nothing else, names the step to go back to")


def checked_reason(text: str) -> str:
    """The reason, without white space around it. Raises WorkRefused."""
    reason = text.strip()
    if not _REASON.fullmatch(reason):
        raise WorkRefused(
            f"a reason is one line of 1 to {LONGEST_REASON} characters; it goes "
            "into the audit log, so name no voter in it"
        )
    return reason


@dataclass(frozen=True)
class Done:
    """An act on one workflow, or with `done` False what it would be.

    `said` is what it means for the votes or claims, worked out just before;
    `run_id` the run that goes on; `afterwards` what is left to be done by a person.
    """

    act: Act
    election: str | None
    workflow_id: str
    run_id: str
    votes: int
    said: str
    done: bool = False
    afterwards: str | None = None


def plan(order: Order, work: Work, meaning: Meaning) -> Done:
    """What the act would be. Raises WorkRefused, with why it cannot be done now."""
    why = acts.obstacle(work, order.act, order.before)
    if why is not None:
        raise WorkRefused(f"{work.workflow_id}: {why}")
    said = f"{meaning.said} {meaning.acts.get(order.act, '')}".strip()
    votes = meaning.count(HERE)
    return Done(order.act, work.election, work.workflow_id, work.run_id, votes, said)


def carry_out(engine: Engine, desk: Desk, order: Order, work: Work, plan: Done) -> Done:
    """Note the act, then do it: Temporal and Postgres share no transaction.

    Raises WorkRefused, TemporalAway and Refused(ELECTION_UNKNOWN).
    """
    if order.by is not None:
        engine = acting_as(engine, order.by)
    by = _note(engine, order, work, plan.votes)
    try:
        run_id = acts.perform(
            desk, work, order.act, by=by, reason=order.reason, before=order.before
        )
    except (WorkRefused, TemporalAway):
        detail = {"act": order.act.value, "run": timeless(work.run_id)}
        _append(engine, work, audit.Event("work_unanswered", _subject(work), detail))
        raise
    afterwards = _after(engine, desk, order.act, work)
    return replace(plan, run_id=run_id, done=True, afterwards=afterwards)


def _note(engine: Engine, order: Order, work: Work, votes: int) -> str:
    """Write the audit event; the name of who acts."""
    with engine.connect() as connection:
        by = who(connection)
    if order.second == by:
        raise WorkRefused("the second administrator must be another one")
    detail: dict[str, str | int] = {
        # A run's id tells when it began, which is when a vote came.
        "run": timeless(work.run_id),
        **audit.why(checked_reason(order.reason), order.second),
        "votes": votes,
    }
    if order.before is not None:
        detail["before"] = order.before
    _append(engine, work, audit.Event(_EVENTS[order.act], _subject(work), detail))
    return by


def _append(engine: Engine, work: Work, event: audit.Event) -> None:
    with engine.begin() as connection:
        election = elections.get(connection, work.election or "")
        audit.append(connection, election.id, [event])


def _subject(work: Work) -> str:
    """A lone claim's id is its voter's reference, which no event may have."""
    return "claim" if work.kind == CLAIM_TOKEN else work.workflow_id


def _after(engine: Engine, desk: Desk, act: Act, work: Work) -> str | None:
    """Settle the votes of a workflow that has ended; what is left to be done."""
    if act not in (Act.CANCEL, Act.TERMINATE) or not work.votes:
        return None
    settle = f"votepyramid election settle {work.election}"
    try:
        ended = _ended(desk, work)
    except TemporalAway:
        return f"Temporal took it and is silent since. When it has ended: {settle}"
    if ended is None:
        return (
            f"It has not ended yet, a worker has to take it up. When it has: {settle}"
        )
    # Also one that began after it was looked at, and before it ended.
    if under_way(work) or records(ended):
        seconds = int(ATTEMPT_TIMEOUT / timedelta(seconds=1))
        return f"In {seconds} seconds, when no attempt can be under way: {settle}"
    with engine.begin() as connection:
        holding.ended(connection, work.votes, work.workflow_id)
    return None


def _ended(desk: Desk, work: Work) -> Work | None:
    """The run as it ended; None when it has not, CANCEL_S after it was asked to."""
    deadline = time.monotonic() + CANCEL_S
    while time.monotonic() < deadline:
        now = timeline.describe(desk, work.workflow_id, work.run_id) or work
        if now is work or now.state is not State.RUNNING:
            return now
        time.sleep(0.2)
    return None
