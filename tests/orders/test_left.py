"""What an order that ends workflows leaves: no vote stays under way for ever."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.orders.conftest import Office
from tests.orders.test_orders import agree, events, give, go_on, state, stuck
from tests.support.elections import MadeElection
from tests.support.faults import Wire
from tests.support.processes import eventually
from tests.support.voting import assert_problem
from tests.work.stuck import (
    attempt_under_way,
    noted_slowly,
    recorded_slowly,
    stuck_at,
)
from votepyramid.engine.acts import Act
from votepyramid.engine.control import Desk, TemporalAway
from votepyramid.engine.listing import Filter, Listing
from votepyramid.orders import carrying
from votepyramid.orders.carrying import Piece
from votepyramid.orders.service import Order, State
from votepyramid.orders.what import ActOnAll, ActOnOne
from workflows.messages import RECORD_VOTES


@contextmanager
def answer_lost(
    office: Office, election: MadeElection, order: uuid.UUID
) -> Iterator[None]:
    """Go on with an order: Temporal does what it is asked to, and is not heard."""
    wire = Wire(office.engine.settings.temporal_address)
    far = Desk(replace(office.engine.settings, temporal_address=wire.address), 2)
    parts = office.pages, far, Listing(far), order
    with ThreadPoolExecutor(1) as thread, noted_slowly(election):
        asked = thread.submit(carrying.carry_on, *parts)
        attempt_under_way(election)
        wire.mute()
        with pytest.raises(TemporalAway):
            asked.result()
    yield
    wire.cut()


def run_of(office: Office, workflow: str) -> str:
    info = office.console.describe(workflow).workflow_execution_info
    return str(info.execution.run_id)


def to_the_end(office: Office, order: uuid.UUID) -> Order:
    """Piece by piece, as a page does."""
    piece = Piece(seconds=1, workflows=10)
    assert eventually(
        lambda: go_on(office, order, piece).state is not State.GOING_ON, 40
    )
    return state(office, order)


@pytest.mark.parametrize("act", [Act.TERMINATE, Act.CANCEL])
def test_done_and_not_heard(office: Office, act: Act) -> None:
    """The order says that it was done, and the vote is as if never sent."""
    with stuck(office, 1) as (election, door, (ballot,)):
        workflow = f"vote/{ballot.receipt_hash}"
        what = ActOnOne(act, workflow, run_of(office, workflow))
        order = give(office, election, what)
        agree(office, order)
        with answer_lost(office, election, order):
            ended = {Act.TERMINATE: "TERMINATED", Act.CANCEL: "CANCELED"}[act]
            assert eventually(lambda: office.console.status(workflow) == ended)
            assert state(office, order).state is State.GOING_ON
            assert door.receipt(ballot.receipt_hash).status_code == 202
        found = to_the_end(office, order)
        assert (found.state, found.done, found.refused) == (State.DONE, 1, 0)
        assert found.said == "Votes as if never sent now: 1."
        assert_problem(door.receipt(ballot.receipt_hash), 404, "receipt_unknown")
    (event,) = events(election, "votes_settled")
    assert (event["by"], event["second"], event["ended"]) == ("ada", "bea", 1)
    door.insist(ballot)
    assert election.counts().whole() and election.counts().accepted == 1


def test_the_same_of_many(office: Office) -> None:
    """One that ended unheard is in no list of those that run."""
    with stuck(office, 2) as (election, door, ballots):
        wanted = Filter(election=election.id, kind="submit_vote")
        order = give(office, election, ActOnAll(Act.TERMINATE, wanted))
        agree(office, order)
        with answer_lost(office, election, order):
            pass
        found = to_the_end(office, order)
        assert (found.state, found.refused) == (State.DONE, 0)
        for ballot in ballots:
            answer = door.receipt(ballot.receipt_hash)
            assert_problem(answer, 404, "receipt_unknown")
    for ballot in ballots:
        door.insist(ballot)
    assert election.counts().whole() and election.counts().accepted == 2


def test_an_attempt_under_way_is_waited_for(office: Office) -> None:
    """Nobody says of a vote that it was never sent while it is being recorded."""
    election = office.election(1)
    (door,) = office.engine.doors(election)
    with (
        stuck_at(RECORD_VOTES, door, election, office.console) as one,
        recorded_slowly(election),
    ):
        run = run_of(office, one.workflow_id)
        order = give(office, election, ActOnOne(Act.TERMINATE, one.workflow_id, run))
        agree(office, order)
        one.mend()
        attempt_under_way(election)
        found = go_on(office, order)
        assert (found.state, found.done) == (State.GOING_ON, 1)
        assert "may be under way" in (found.said or "")
        assert one.status().status_code == 202
        assert eventually(lambda: one.status().status_code == 200)
        found = to_the_end(office, order)
        assert (found.state, found.said) == (State.DONE, "No vote is left to settle.")
    assert events(election, "votes_settled") == []
    one.recorded_once()
