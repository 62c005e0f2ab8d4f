"""Closing an election: one workflow from the announced time to the statement."""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.closing.conftest import UNCONFIRMED, Office
from tests.receipts.ends import opened
from tests.support.faults import holding, poisoned, wait_until_blocked
from tests.support.processes import eventually
from tests.support.voting import assert_problem
from votepyramid.audit.operators import acting_as
from votepyramid.db import make_engine
from votepyramid.elections import ceremony, closing
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.votes.models import VoteSubmission
from workflows import messages as m


def test_from_the_announced_time_to_the_statement(office: Office) -> None:
    (door,) = office.engine.doors(office.election)
    assert door.cast(door.ballot("v0")).status_code == 200
    bearer = door.token("v1")
    office.start_worker()
    asked = office.close("--no-wait")
    assert (asked["id"], asked["phase"]) == (office.election.id, m.ANNOUNCED)
    assert (asked["asked_by"], asked["early"]) == ("ada", False)
    now = office.comes_to(m.ANNOUNCED)
    assert now.until is not None and "claims are taken until" in now.waiting_for
    assert office.status() == "open"
    # The announced time passes.
    office.announced()
    now = office.comes_to(m.GRACE)
    assert office.status() == "closed" and now.until is not None
    assert "are answered until" in now.waiting_for
    assert_problem(door.claim("v2"), 403, "election_closed")
    assert door.cast(door.seal(bearer)).status_code == 200
    # The grace time passes; nothing is in the log.
    office.pass_grace()
    assert "2 votes" in office.comes_to(m.LOG).waiting_for
    assert eventually(lambda: office.state().needs_attention)
    assert office.status() == "closed"
    watching = office.popen("--json")
    office.sequence()
    # The votes are there; that nothing else is missing a sequencer has to say.
    assert eventually(lambda: UNCONFIRMED in office.state().waiting_for, 20)
    assert (office.state().phase, office.status()) == (m.LOG, "closed")
    assert office.by("votes_complete") == ["ada"]
    office.comes_to(m.FINISHED)
    said, errors = watching.communicate(timeout=60)
    assert watching.returncode == 0, errors
    note = office.close()["statement"]
    assert json.loads(said)["statement"] == note
    assert (opened(office.election, note).votes, office.status()) == (2, "finished")
    assert office.console.attention(office.workflow) is False
    assert office.console.status(office.workflow) == "COMPLETED"
    for kind in ("closing_asked", "election_closed", "election_finished"):
        assert office.by(kind) == ["ada"], kind
    # The older step finds it done; so does asking again, which starts nothing.
    assert office.election.finish() == note


def test_early_and_in_the_name_of_a_person(office: Office) -> None:
    office.start_worker()
    name = office.election.id
    office.ask()
    office.comes_to(m.ANNOUNCED)
    bea = acting_as(office.election.engine, "bea")
    closing.start_or_join(bea, office.desk, name, early=True)
    now = office.comes_to(m.GRACE)
    assert (now.asked_by, now.early) == ("bea", True)
    # Once more, not early: that it was early stands.
    office.ask()
    assert office.state().asked_by == "bea"
    assert office.by("closing_asked") == ["ada", "bea"]
    assert office.by("election_closed") == ["bea"]
    office.pass_grace()
    office.comes_to(m.FINISHED)
    assert office.by("election_finished") == ["bea"]


def test_two_who_ask_join(office: Office) -> None:
    first, second = office.popen("--early", "--json"), office.popen()
    assert eventually(lambda: office.state().running)
    office.start_worker()
    office.comes_to(m.GRACE)
    # It has begun to watch. Interrupted, it leaves the work alone.
    assert second.stderr is not None and second.stderr.readline()
    second.send_signal(signal.SIGINT)
    _, said = second.communicate(timeout=60)
    assert second.returncode == 130 and "It goes on" in said
    office.pass_grace()
    office.comes_to(m.FINISHED)
    said, errors = first.communicate(timeout=60)
    assert first.returncode == 0, errors
    assert "evote/closing/v1" in said
    runs = office.console.workflow_ids(f"WorkflowId = '{office.workflow}'", "CLOSING")
    assert runs == [office.workflow]


def test_of_two_who_ask_at_once_the_early_one_has_it(office: Office) -> None:
    """Both look before either has written: the later must not take it back."""
    url, program = office.engine.database.owner_url, "two-who-ask"
    patient = make_engine(url, application_name=program, lock_timeout_ms=20_000)

    def ask(by: str, early: bool) -> None:
        engine, desk, name = acting_as(patient, by), office.desk, office.election.id
        closing.start_or_join(engine, desk, name, early=early)

    held = "SELECT 1 FROM elections WHERE id = %s FOR NO KEY UPDATE"
    with ThreadPoolExecutor(2) as two:
        with holding(url, held, office.election.id):
            first = two.submit(ask, "ada", True)
            wait_until_blocked(office.election, program=program)
            second = two.submit(ask, "bea", False)
            wait_until_blocked(office.election, program=program, transactions=2)
        first.result()
        second.result()
    patient.dispose()
    now = office.state()
    assert (now.asked_by, now.early) == ("ada", True)
    assert office.by("closing_asked") == ["ada"]


def test_what_a_person_sees(office: Office) -> None:
    watching = office.popen("--early")
    assert eventually(lambda: office.state().running)
    # No worker yet, and it is said.
    now = office.state()
    assert not now.answering and "--role closing" in now.waiting_for
    office.start_worker()
    office.comes_to(m.GRACE)
    time.sleep(1)
    office.pass_grace()
    office.comes_to(m.FINISHED)
    printed, told = watching.communicate(timeout=60)
    assert printed.startswith("evote/closing/v1\n")
    assert "no worker answers" in told and "are answered until" in told


def test_called_off_before_it_is_closed(office: Office) -> None:
    office.start_worker()
    office.ask()
    office.comes_to(m.ANNOUNCED)
    watching = office.popen("--json")
    time.sleep(2)
    assert office.close("--cancel")["phase"] == m.NOT_ASKED
    said, _ = watching.communicate(timeout=30)
    assert watching.returncode == 1 and "was called off" in said
    office.console.finished(office.workflow)
    assert office.status() == "open" and office.by("closing_called_off") == ["ada"]
    nobody = office.close("--cancel", status=1)["error"]
    assert nobody.startswith("nobody asks for")
    # And asked for once more, under the same id.
    office.ask(early=True)
    office.comes_to(m.GRACE)
    late = office.close("--cancel", status=1)["error"]
    assert "takes no claims any more" in late and "cannot be called off" in late
    assert office.state().phase == m.GRACE


def test_called_off_while_no_worker_looks(office: Office) -> None:
    """What counts is the database: nothing closes what nobody asks for."""
    office.ask(early=True)
    office.close("--cancel")
    office.start_worker()
    office.console.finished(office.workflow)
    assert office.status() == "open"
    assert office.state().phase == m.NOT_ASKED


def test_not_after_the_announced_time_either(office: Office) -> None:
    office.announced()
    assert "called off" in office.close("--cancel", status=1)["error"]


def test_nobody_closes_by_starting_the_workflow(office: Office) -> None:
    """Whoever takes over a web process can do that, and no more."""
    started = office.console.client.start_workflow(
        m.CLOSE_ELECTION,
        m.CloseElectionInput(office.election.id),
        id=office.workflow,
        task_queue=office.engine.env["VOTEPYRAMID_CLOSING_TASK_QUEUE"],
    )
    office.console.run(started)
    office.start_worker()
    office.console.finished(office.workflow)
    assert office.status() == "open"


def test_a_vote_that_is_stuck_holds_the_end(office: Office) -> None:
    (door,) = office.engine.doors(office.election)
    bad = door.ballot("v0")
    child = f"vote/{bad.receipt_hash}"
    with poisoned(
        office.election, VoteSubmission.__tablename__, "receipt_hash", bad.receipt_hash
    ):
        assert door.cast(bad).status_code == 202
        office.start_worker()
        office.ask(early=True)
        office.comes_to(m.GRACE)
        office.pass_grace()
        now = office.comes_to(m.VOTES)
        assert "1 votes" in now.waiting_for and "election settle" in now.waiting_for
        assert eventually(lambda: office.state().needs_attention)
        assert office.console.needing_attention("CLOSING") == [office.workflow]
        # However long, and however often it is asked.
        office.ask()
        time.sleep(2)
        assert office.comes_to(m.VOTES).needs_attention
        assert office.status() == "closed"
        office.console.run(office.console.handle(child).terminate("by the office"))
    settled = office.settle()
    assert settled["ended"] == [bad.receipt_hash]
    office.comes_to(m.FINISHED, 30)
    assert office.console.attention(office.workflow) is False
    note = office.close()["statement"]
    assert opened(office.election, note).votes == 0


def test_a_stuck_vote_that_is_recorded_after_all(office: Office) -> None:
    (door,) = office.engine.doors(office.election)
    bad = door.ballot("v0")
    with poisoned(
        office.election, VoteSubmission.__tablename__, "receipt_hash", bad.receipt_hash
    ) as mend:
        assert door.cast(bad).status_code == 202
        office.start_worker()
        office.ask(early=True)
        office.comes_to(m.GRACE)
        office.pass_grace()
        office.comes_to(m.VOTES)
        mend()
        office.comes_to(m.LOG, 40)
    office.sequence()
    office.comes_to(m.FINISHED, 30)
    note = office.close()["statement"]
    assert opened(office.election, note).votes == 1
    assert office.election.counts().whole()


def test_trouble_that_no_waiting_mends(office: Office) -> None:
    """It is said at once, and the end is held until a person has seen to it."""
    (door,) = office.engine.doors(office.election)
    assert door.cast(door.ballot("v0")).status_code == 200
    office.sequence()
    with office.election.sql() as db:
        db.execute(
            "UPDATE log_heads SET root = sha256('x') "
            "WHERE kind = 'receipts' AND election = %s",
            (office.election.id,),
        )
    office.start_worker()
    office.ask(early=True)
    office.comes_to(m.GRACE)
    office.pass_grace()
    assert eventually(lambda: office.state().needs_attention)
    assert "see the runbook" in office.state().waiting_for
    with office.election.sql() as db:
        db.execute(
            "UPDATE log_heads SET root = (SELECT sha256('\\x00' || entry) "
            "FROM log_entries e WHERE e.election = log_heads.election "
            "AND e.kind = 'receipts') WHERE kind = 'receipts' AND election = %s",
            (office.election.id,),
        )
    office.comes_to(m.FINISHED, 30)
    assert office.console.attention(office.workflow) is False


def test_closed_by_hand_and_finished_by_the_workflow(office: Office) -> None:
    described = office.close("--by-hand", "--early")
    assert described["status"] == "closed"
    office.start_worker()
    office.ask()
    office.comes_to(m.GRACE)
    office.pass_grace()
    office.comes_to(m.FINISHED)


def test_finished_by_hand_meanwhile(office: Office) -> None:
    office.ask(early=True)
    ceremony.close(office.election.engine, office.election.id, early=True)
    office.election.pass_grace()
    note = office.election.finish(office.sequence)
    office.start_worker()
    office.console.finished(office.workflow)
    assert office.close()["statement"] == note


def test_what_cannot_be_closed(office: Office) -> None:
    made = office.engine.make_election(id="never-opened", open=False)
    with pytest.raises(CeremonyError, match="is created, not open"):
        closing.start_or_join(made.engine, office.desk, made.id)
    office.close("--cancel", status=1)
    for words in (("--cancel", "--early"), ("--cancel", "--by-hand")):
        command = office.popen(*words)
        assert "--cancel goes with no other" in command.communicate()[1]
        assert command.returncode == 2
