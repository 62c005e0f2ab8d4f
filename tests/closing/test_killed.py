"""A closer that is killed (kill -9) at each step, and another that takes over."""

from __future__ import annotations

import pytest

from tests.closing.conftest import TAKEOVER_S, Office
from tests.receipts.ends import opened
from tests.support.faults import Wire, holding, wait_until_blocked
from tests.support.processes import Running, eventually
from votepyramid.elections.finishing import NotYet
from workflows import messages as m

pytestmark = pytest.mark.timeout(180)


def _ended_once(office: Office, votes: int) -> None:
    """Each act stands once in the audit log, and the statement is of the log."""
    office.comes_to(m.FINISHED, TAKEOVER_S)
    office.console.finished(office.workflow, TAKEOVER_S)
    for kind in ("election_closed", "election_finished"):
        assert office.by(kind) == ["ada"], kind
    query = "SELECT note FROM election_statements WHERE election = %s"
    note = office.election.count(query, office.election.id)
    assert opened(office.election, note).votes == votes


def _replaced(office: Office, doomed: Running) -> Running:
    doomed.kill()
    return office.start_worker()


def test_while_it_waits(office: Office) -> None:
    """For the announced time, the last ballots, the log: the timers are Temporal's."""
    (door,) = office.engine.doors(office.election)
    assert door.cast(door.ballot("v0")).status_code == 200
    worker = office.start_worker()
    office.ask()
    office.comes_to(m.ANNOUNCED)
    worker = _replaced(office, worker)
    office.announced()
    office.comes_to(m.GRACE, TAKEOVER_S)
    worker = _replaced(office, worker)
    office.pass_grace()
    office.comes_to(m.LOG, TAKEOVER_S)
    worker = _replaced(office, worker)
    office.sequence()
    _ended_once(office, votes=1)


def test_while_it_closes(office: Office) -> None:
    doomed = office.start_worker()
    held = "SELECT 1 FROM elections WHERE id = %s FOR UPDATE"
    office.ask()
    office.comes_to(m.ANNOUNCED)
    with office.election.sql() as db:
        db.execute(
            "UPDATE election_closings SET early = true WHERE election = %s",
            (office.election.id,),
        )
    with holding(office.election.database.owner_url, held, office.election.id):
        _look_again(office)
        wait_until_blocked(office.election)
        doomed.kill()
        assert office.status() == "open"
    office.start_worker()
    office.comes_to(m.GRACE, TAKEOVER_S)
    office.pass_grace()
    _ended_once(office, votes=0)


def test_while_it_looks(office: Office) -> None:
    doomed = office.start_worker()
    office.ask(early=True)
    office.comes_to(m.GRACE)
    office.election.pass_grace()
    locked = "LOCK TABLE vote_groups IN ACCESS EXCLUSIVE MODE"
    with holding(office.election.database.owner_url, locked):
        _look_again(office)
        wait_until_blocked(office.election)
        doomed.kill()
    office.start_worker()
    _ended_once(office, votes=0)


@pytest.mark.parametrize("when", ["before", "after"])
def test_while_it_signs(office: Office, when: str) -> None:
    """Before its transaction has committed, and after, when nobody was told."""
    (door,) = office.engine.doors(office.election)
    assert door.cast(door.ballot("v0")).status_code == 200
    office.sequence()
    wire = Wire(office.engine.temporal.address)
    doomed = office.start_worker(temporal_address=wire.address)
    office.ask(early=True)
    office.comes_to(m.GRACE)
    office.election.pass_grace()
    # All is there, and a sequencer has confirmed it: the closer is still to look.
    with pytest.raises(NotYet):
        office.election.finish()
    office.sequence()
    # The tree of the tags is written last.
    locked = "LOCK TABLE closing_tags IN ACCESS EXCLUSIVE MODE"
    with holding(office.election.database.owner_url, locked) as release:
        office.pass_grace()
        wait_until_blocked(office.election)
        assert office.comes_to(m.SIGNING).until is None
        if when == "after":
            wire.freeze()
            release()
            assert eventually(lambda: office.status() == "finished")
        doomed.kill()
        wire.cut()
    assert office.console.status(office.workflow) == "RUNNING"
    office.start_worker()
    _ended_once(office, votes=1)
    history = office.console.run(office.console.handle(office.workflow).fetch_history())
    timed_out = [
        event
        for event in history.events
        if event.activity_task_started_event_attributes.attempt > 1
    ]
    assert len(timed_out) == 1


def _look_again(office: Office) -> None:
    handle = office.console.handle(office.workflow)
    office.console.run(handle.signal(m.LOOK_AGAIN))
