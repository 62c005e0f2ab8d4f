"""Every act at every step: no second vote, and no vote lost that was promised."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine as SqlEngine
from temporalio.api.enums.v1 import PendingActivityState

from tests.support.elections import MadeElection
from tests.support.faults import Console, events_refused
from tests.support.processes import eventually
from tests.support.voting import Door, assert_problem
from tests.work.conftest import Run, said
from tests.work.stuck import (
    STEPS,
    Stuck,
    attempt_under_way,
    recorded_slowly,
    stuck_at,
)
from votepyramid.engine import replaying
from votepyramid.engine.acts import Act
from votepyramid.engine.control import Desk, WorkRefused, gather_histories
from votepyramid.engine.histories import Execution
from votepyramid.settings import Settings
from votepyramid.work.service import Order, act, show
from workflows.messages import CHECK_ELIGIBILITY, RECORD_VOTES

WHY = "asked for by the election office"
at_every_step = pytest.mark.parametrize("step", STEPS)


def do(run: Run, act: str, workflow_id: str, *options: str) -> dict[str, Any]:
    return said(run(act, workflow_id, "--reason", WHY, "--yes", "--json", *options))


def refused(run: Run, act: str, workflow_id: str, *options: str) -> str:
    words = (act, workflow_id, "--reason", WHY, "--yes", "--json", *options)
    return str(said(run(*words), 1)["error"])


def noted(election: MadeElection, act: str) -> list[dict[str, Any]]:
    """The details of such audit events of the election."""
    with election.sql() as db:
        query = "SELECT detail FROM audit_events WHERE election = %s AND kind = %s"
        return [row[0] for row in db.execute(query, [election.id, act]).fetchall()]


@at_every_step
def test_retry(
    step: str, door: Door, election: MadeElection, console: Console, run: Run
) -> None:
    with stuck_at(step, door, election, console) as stuck:
        assert eventually(lambda: _waits_after(stuck, 4), 30)
        done = do(run, "retry", stuck.workflow_id)
        assert (done["done"], done["afterwards"]) == (True, None)
        # Counted anew: by itself it would only grow.
        assert eventually(lambda: stuck.pending().attempt < 4)
        assert eventually(lambda: _waits_after(stuck, 2))
        stuck.mend()
        assert eventually(lambda: _retried(run, stuck))
        assert eventually(lambda: stuck.status().status_code == 200)
    console.finished(stuck.workflow_id)
    stuck.recorded_once()
    first, *_ = noted(election, "work_retried")
    assert (first["reason"], first["second"], first["votes"]) == (WHY, "none", 1)
    assert "completed already" in refused(run, "retry", stuck.workflow_id)


def _waits_after(stuck: Stuck, tries: int) -> bool:
    """Whether it waits for its next try, after so many."""
    pending = stuck.pending()
    waits = pending.HasField("next_attempt_schedule_time")
    return waits and pending.attempt > tries


def _retried(run: Run, stuck: Stuck) -> bool:
    """Retried by hand, or by itself in between."""
    words = ("retry", stuck.workflow_id, "--reason", WHY, "--yes", "--json")
    return run(*words).exit_code == 0 or stuck.status().status_code == 200


@at_every_step
@pytest.mark.parametrize("act", [Act.CANCEL, Act.TERMINATE])
def test_end(
    act: Act,
    step: str,
    door: Door,
    election: MadeElection,
    console: Console,
    run: Run,
) -> None:
    kind = {"cancel": "work_canceled", "terminate": "work_terminated"}[act]
    with stuck_at(step, door, election, console) as stuck:
        asked = run(act, stuck.workflow_id, "--reason", WHY, input="n\n")
        assert asked.exit_code == 1 and "only here" in asked.stderr
        before = do(run, act, stuck.workflow_id, "--dry-run")
        assert not before["done"] and before["votes"] == 1
        assert "1 vote not recorded will be as if never sent" in before["said"]
        assert stuck.status().status_code == 202
        assert noted(election, kind) == []
        with events_refused(election.database.owner_url, kind):
            assert "the database said" in refused(run, act, stuck.workflow_id)
        assert console.status(stuck.workflow_id) == "RUNNING"
        done = do(run, act, stuck.workflow_id)
        assert done["done"] and done["said"] == before["said"]
        # Its voter learns it at once, and nothing is left under way.
        assert_problem(stuck.status(), 404, "receipt_unknown")
        assert console.status(stuck.workflow_id) in ("CANCELED", "TERMINATED")
        assert "already" in refused(run, act, stuck.workflow_id)
    stuck.recorded_once()
    (event,) = noted(election, kind)
    assert (event["reason"], event["votes"]) == (WHY, 1)
    assert noted(election, "work_unanswered") == []


@at_every_step
def test_pause_and_resume(
    step: str, door: Door, election: MadeElection, console: Console, run: Run
) -> None:
    with stuck_at(step, door, election, console) as stuck:
        assert "none of its steps is paused" in refused(
            run, "resume", stuck.workflow_id
        )
        do(run, "pause", stuck.workflow_id)
        assert eventually(lambda: _paused(stuck))
        assert "paused already" in refused(run, "pause", stuck.workflow_id)
        assert "resume it" in refused(run, "retry", stuck.workflow_id)
        shown = said(run("show", stuck.workflow_id, "--json"))
        assert shown["steps"][-1]["state"] == "paused"
        assert "until somebody resumes it" in shown["meaning"]["acts"]["wait"]
        tries = stuck.pending().attempt
        stuck.mend()
        # Longer than it would have waited.
        time.sleep(3)
        assert stuck.pending().attempt == tries
        assert stuck.status().status_code == 202
        do(run, "resume", stuck.workflow_id)
        assert eventually(lambda: stuck.status().status_code == 200)
    console.finished(stuck.workflow_id)
    stuck.recorded_once()
    assert len(noted(election, "work_paused")) == 1
    assert len(noted(election, "work_resumed")) == 1


def _paused(stuck: Stuck) -> bool:
    state = PendingActivityState.Name(stuck.pending().state)
    return state == "PENDING_ACTIVITY_STATE_PAUSED"


@at_every_step
def test_reset(
    step: str,
    door: Door,
    election: MadeElection,
    console: Console,
    run: Run,
    settings: Settings,
) -> None:
    with stuck_at(step, door, election, console) as stuck:
        wrong = refused(run, "reset", stuck.workflow_id, "--before", "another")
        assert CHECK_ELIGIBILITY in wrong
        old = said(run("show", stuck.workflow_id, "--json"))["run_id"]
        for before in dict.fromkeys((step, CHECK_ELIGIBILITY)):
            done = do(run, "reset", stuck.workflow_id, "--before", before)
            assert done["run_id"] != old
            # Its voter was told that it is under way, and never hears otherwise.
            watch = time.monotonic() + 3
            while time.monotonic() < watch:
                assert stuck.status().status_code == 202
            assert eventually(lambda: bool(stuck.pending()))
        shown = said(run("show", stuck.workflow_id, "--json"))
        names = [one["name"] for one in shown["steps"]]
        # The cut is no fault of a worker's.
        assert "workflow task" not in names and names[0] == CHECK_ELIGIBILITY
        gone = said(run("show", stuck.workflow_id, "--run", old, "--json"))
        assert gone["state"] == "terminated"
        assert eventually(lambda: stuck.pending().activity_type.name == step)
        stuck.mend()
        assert eventually(lambda: stuck.status().status_code == 200, 15)
    console.finished(stuck.workflow_id)
    stuck.recorded_once()
    events = noted(election, "work_reset")
    assert events[0]["before"] == step and len(events) in (1, 2)
    replays(election, settings)


def replays(election: MadeElection, settings: Settings) -> None:
    """An auditor finds every run of the election to be one that the code makes."""
    documents: list[dict[str, Any]] = []

    def take(_one: Execution, document: bytes) -> None:
        documents.append(json.loads(document))

    gather_histories(settings, election.id, lambda _: True, take, lambda *_: None)
    assert len(documents) >= 3
    assert replaying.replay(documents) == {}


def test_reset_while_an_attempt_commits(
    door: Door, election: MadeElection, console: Console, run: Run
) -> None:
    """The old run's last attempt and the new run record the same vote."""
    with stuck_at(RECORD_VOTES, door, election, console) as stuck:
        with recorded_slowly(election):
            stuck.mend()
            attempt_under_way(election)
            do(run, "reset", stuck.workflow_id, "--before", CHECK_ELIGIBILITY)
            assert stuck.status().status_code == 202
            assert eventually(lambda: stuck.status().status_code == 200)
        console.finished(stuck.workflow_id)
    stuck.recorded_once()


def test_ended_while_an_attempt_commits(
    door: Door,
    election: MadeElection,
    console: Console,
    run: Run,
) -> None:
    """The workflow is gone, its last attempt is not: the vote is recorded after all."""
    with (
        stuck_at(RECORD_VOTES, door, election, console) as stuck,
        recorded_slowly(election),
    ):
        stuck.mend()
        attempt_under_way(election)
        done = do(run, "terminate", stuck.workflow_id)
        assert "may be under way" in done["said"]
        assert "election settle" in done["afterwards"]
        # Its voter is not told that it was never sent.
        assert stuck.status().status_code == 202
        assert eventually(lambda: stuck.status().status_code == 200)
    stuck.recorded_once()


def test_the_pages_do_it_in_two_names(
    door: Door,
    election: MadeElection,
    console: Console,
    settings: Settings,
    pages: SqlEngine,
) -> None:
    """With the rights that their role has, and by the names that they hand over."""
    desk = Desk(settings)
    with stuck_at(RECORD_VOTES, door, election, console) as stuck:
        for one in (Act.PAUSE, Act.RESUME, Act.TERMINATE):
            assert one.changes_fate == (one is Act.TERMINATE)
            order = Order(one, WHY, by="Ada", second="Bo")
            assert act(pages, desk, order, stuck.workflow_id).done
        assert_problem(stuck.status(), 404, "receipt_unknown")
        assert (
            show(pages, desk, stuck.workflow_id).work.end == f"terminated by Ada: {WHY}"
        )
    for kind in ("work_paused", "work_resumed", "work_terminated"):
        (event,) = noted(election, kind)
        assert (event["by"], event["second"]) == ("Ada", "Bo")
    stuck.recorded_once()
    for wrong in ({"by": "Ada", "second": "Ada"}, {"by": "two\nlines"}, {"second": ""}):
        with pytest.raises(WorkRefused):
            Order(Act.TERMINATE, WHY, **wrong)


def test_what_cannot_be_done_is_said(
    door: Door, election: MadeElection, run: Run, console: Console
) -> None:
    ballot = door.ballot("v0")
    assert door.cast(ballot).status_code == 200
    query = f"WorkflowType = 'submit_votes' AND ElectionId = '{election.id}'"
    group = console.new_workflow_id(query)
    console.finished(group)
    for one in Act:
        more = ("--before", RECORD_VOTES) if one is Act.RESET else ()
        assert "completed already" in refused(run, one, group, *more)
    assert "work list" in refused(run, "retry", "votes/none")
    assert "work show" in refused(run, "terminate", ballot.receipt_hash)
    for reason in ("", "two\nlines", "x" * 201):
        answer = run("terminate", group, "--reason", reason, "--yes", "--json")
        assert "a reason is one line" in said(answer, 1)["error"]
    assert noted(election, "work_terminated") == []


def test_a_group_that_is_tried_within_its_workflow(
    door: Door, election: MadeElection, run: Run, console: Console
) -> None:
    """Nothing to hurry; to terminate it is to leave its attempt alone."""
    ballot = door.ballot("v0")
    query = f"WorkflowType = 'submit_votes' AND ElectionId = '{election.id}'"
    with ThreadPoolExecutor(1) as thread, recorded_slowly(election):
        held = thread.submit(door.cast, ballot)
        attempt_under_way(election)
        group = console.new_workflow_id(query)
        assert "look again" in refused(run, "retry", group)
        done = do(run, "terminate", group)
        assert "may be under way" in done["said"]
        assert held.result().status_code in (200, 202, 503)
        assert eventually(lambda: door.cast(ballot).status_code == 200)
    counts = election.counts()
    assert counts.whole() and counts.accepted == 1
