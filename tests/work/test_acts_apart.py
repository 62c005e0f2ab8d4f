"""Acts on claims, acts that Temporal does not answer, and a worker that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Engine as SqlEngine

from tests.support.elections import MadeElection
from tests.support.engines import Engine, Engines
from tests.support.faults import Console, Wire, poisoned
from tests.support.processes import eventually
from tests.support.voting import Door
from tests.work.conftest import Run
from tests.work.stuck import stuck_at
from tests.work.test_acts import WHY, do, noted
from votepyramid.engine.acts import Act
from votepyramid.engine.control import Desk, TemporalAway, WorkRefused
from votepyramid.settings import Settings
from votepyramid.tokens.models import VoteToken
from votepyramid.votes.settling import settle
from votepyramid.work import acting
from votepyramid.work.service import Order, show
from workflows.messages import CHECK_CLAIMS, ISSUE_TOKENS, RECORD_VOTES


@pytest.mark.parametrize("act", list(Act))
def test_a_claim_gets_one_token_whatever_is_done(
    act: Act, door: Door, election: MadeElection, console: Console, run: Run
) -> None:
    query = "SELECT ref FROM voters WHERE election = %s AND voter_id = 'v3'"
    ref = str(election.count(query, election.id))
    child = f"claim/{ref}"
    with poisoned(election, VoteToken.__tablename__, "user", ref) as mend:
        assert door.claim("v3").status_code == 503
        assert eventually(lambda: child in console.needing_attention("CLAIM"))
        assert eventually(lambda: _issuing(console, child))
        if act is Act.RESUME:
            do(run, "pause", child)
        more = ("--before", CHECK_CLAIMS) if act is Act.RESET else ()
        words = (act, child, "--reason", WHY, "--yes", "--json", *more)
        # An attempt may be under way just now.
        assert eventually(lambda: "1 claim, 0 with a token" in run(*words).stdout)
        mend()
    if act is Act.PAUSE:
        do(run, "resume", child)
    tokens = {door.token("v3") for _ in range(3)}
    assert len(tokens) == 1
    assert eventually(lambda: console.needing_attention("CLAIM") == [])
    counts = election.counts()
    assert counts.whole() and counts.issued == 1
    # An event that named the workflow would name the voter.
    with election.sql() as db:
        events = db.execute("SELECT subject, detail::text FROM audit_events").fetchall()
    assert not any(ref in f"{event}" for event in events)
    assert any(subject == "claim" for subject, _ in events)


def _issuing(console: Console, workflow_id: str) -> bool:
    """Whether it waits for its next try of the last step."""
    return any(
        one.activity_type.name == ISSUE_TOKENS
        and one.HasField("last_failure")
        and one.HasField("next_attempt_schedule_time")
        for one in console.describe(workflow_id).pending_activities
    )


def test_what_temporal_does_not_answer_is_noted(
    door: Door,
    election: MadeElection,
    console: Console,
    settings: Settings,
    pages: SqlEngine,
) -> None:
    order = Order(Act.TERMINATE, WHY, by="Ada", second="Bo")
    with stuck_at(RECORD_VOTES, door, election, console) as stuck:
        wire = Wire(settings.temporal_address)
        far = Desk(replace(settings, temporal_address=wire.address), patience=1.0)
        found = show(pages, far, stuck.workflow_id)
        plan = acting.plan(order, found.work, found.meaning)
        wire.freeze()
        with pytest.raises(TemporalAway):
            acting.carry_out(pages, far, order, found.work, plan)
        wire.cut()
        # Nothing was done, and the log does not say otherwise.
        assert (len(noted(election, "work_terminated")), _unanswered(election)) == (
            1,
            1,
        )
        stuck.mend()
        console.finished(stuck.workflow_id)
        near = Desk(settings)
        with pytest.raises(WorkRefused, match="look at it again"):
            acting.carry_out(pages, near, order, found.work, plan)
        assert _unanswered(election) == 2
    stuck.recorded_once()


def _unanswered(election: MadeElection) -> int:
    events = noted(election, "work_unanswered")
    assert all((one["act"], one["by"]) == ("terminate", "Ada") for one in events)
    return len(events)


@pytest.fixture
def apart(engines: Engines) -> Iterator[Engine]:
    with engines.running("apart", groups_in_flight=1) as started:
        yield started


def test_a_cancellation_waits_for_a_worker(apart: Engine, settings: Settings) -> None:
    """What is left to be done is said, and done then."""
    console, election = Console(apart.env), apart.make_election(voters=2)
    (door,) = apart.doors(election)
    settings = _of(settings, apart)
    order = Order(Act.CANCEL, WHY)
    with stuck_at(RECORD_VOTES, door, election, console) as stuck:
        apart.worker.kill()
        desk = Desk(settings)
        found = show(election.engine, desk, stuck.workflow_id)
        plan = acting.plan(order, found.work, found.meaning)
        done = acting.carry_out(election.engine, desk, order, found.work, plan)
        assert done.done and "has not ended yet" in str(done.afterwards)
        assert stuck.status().status_code == 202
        apart.start_worker()
        assert eventually(lambda: console.status(stuck.workflow_id) == "CANCELED", 30)
        # Of steps that a workflow tries by itself nobody knows how far they are.
        vote = [stuck.ballot.receipt_hash]
        assert settle(election.engine, settings, election.id).lately == vote
        settled = partial(settle, election.engine, settings, election.id)
        assert eventually(lambda: settled().ended == vote, 25)
        assert stuck.status().status_code == 404
    stuck.recorded_once()


def _of(settings: Settings, engine: Engine) -> Settings:
    """The settings of another engine."""
    return replace(
        settings,
        vote_task_queue=engine.env["VOTEPYRAMID_VOTE_TASK_QUEUE"],
        codec_keys_file=engine.env["VOTEPYRAMID_CODEC_KEYS_FILE"],
    )
