"""A worker that is gone, before the commit and after it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.databases import Database
from tests.support.engines import Engine, running
from tests.support.faults import Console, Wire, holding, token_held, wait_until_blocked
from tests.support.processes import eventually, start_worker
from tests.support.voting import Door
from votepyramid.stack.devserver import DevServer
from workflows.messages import ClaimOutcome, VoteOutcome

# One task timeout, the next worker's start, and room for a busy machine.
TAKEOVER_S = 25


@pytest.fixture
def engine(database: Database, temporal: DevServer, tmp_path: Path) -> Iterator[Engine]:
    with running(database, temporal, tmp_path, workers=0) as started:
        yield started


@pytest.fixture
def wire(temporal: DevServer) -> Iterator[Wire]:
    made = Wire(temporal.address)
    yield made
    made.cut()


def test_killed_before_the_commit(engine: Engine) -> None:
    election = engine.make_election(voters=3)
    worker = engine.start_worker()
    (door,) = engine.doors(election)
    ballots = [door.ballot(f"v{n}") for n in range(3)]
    with ThreadPoolExecutor(3) as threads:
        with token_held(election, ballots[1].bearer):
            waiting = [threads.submit(door.insist, ballot) for ballot in ballots]
            wait_until_blocked(election)
            worker.kill()
            assert election.counts().accepted < 3
        engine.start_worker()
        receipts = [one.result(TAKEOVER_S) for one in waiting]
    for ballot, receipt in zip(ballots, receipts, strict=True):
        assert door.cast(ballot).content == receipt
    counts = election.counts()
    assert counts.whole() and counts.accepted == 3
    console = Console(engine.env)
    for group in console.workflow_ids("WorkflowType = 'submit_votes'"):
        console.finished(group)


def test_killed_after_the_commit_before_the_task_was_reported(
    engine: Engine, wire: Wire
) -> None:
    """The step runs again, and must call nothing used, copied or late."""
    election = engine.make_election(voters=2)
    env = {**engine.env, "VOTEPYRAMID_TEMPORAL_ADDRESS": wire.address}
    worker = start_worker(env, engine.temporal, engine.folder, name="doomed")
    engine.workers.append(worker)
    (door,) = engine.doors(election)
    ballot = door.ballot("v0")
    with ThreadPoolExecutor(1) as thread:
        with token_held(election, ballot.bearer):
            waiting = thread.submit(door.insist, ballot)
            wait_until_blocked(election)
            # From here on Temporal hears nothing; Postgres goes on.
            wire.freeze()
        assert eventually(lambda: election.counts().accepted == 1)
        worker.kill()
        wire.cut()
        # The voter has the receipt already: the commit was the answer.
        receipt = waiting.result(3)
    console = Console(engine.env)
    group = console.new_workflow_id("WorkflowType = 'submit_votes'")
    assert console.status(group) == "RUNNING"
    engine.start_worker()
    console.finished(group, TAKEOVER_S)
    handle = console.client.get_workflow_handle(group, result_type=list[VoteOutcome])
    (outcome,) = console.run(handle.result())
    assert outcome.code is None
    assert outcome.storage == "stored before"
    assert door.cast(ballot).content == receipt
    counts = election.counts()
    assert counts.whole() and counts.accepted == 1 and counts.rejected == 0


def test_a_claim_killed_after_the_commit(engine: Engine, wire: Wire) -> None:
    election = engine.make_election(voters=1)
    env = {**engine.env, "VOTEPYRAMID_TEMPORAL_ADDRESS": wire.address}
    worker = start_worker(env, engine.temporal, engine.folder, name="doomed")
    engine.workers.append(worker)
    (door,) = engine.doors(election)
    with ThreadPoolExecutor(1) as thread:
        # Issuing looks the voter's row up by its foreign key, and waits for it.
        with holding(election.database.owner_url, "SELECT 1 FROM voters FOR UPDATE"):
            waiting = thread.submit(door.claim, "v0")
            wait_until_blocked(election)
            wire.freeze()
        assert eventually(lambda: election.counts().issued == 1)
        worker.kill()
        wire.cut()
        answer = waiting.result(5)
    assert answer.status_code == 200, answer.text
    engine.start_worker()
    console = Console(engine.env)
    group = console.new_workflow_id("WorkflowType = 'claim_tokens'", "CLAIM")
    console.finished(group, TAKEOVER_S)
    handle = console.client.get_workflow_handle(group, result_type=list[ClaimOutcome])
    (outcome,) = console.run(handle.result())
    assert (outcome.code, outcome.issue) == (None, "issued before")
    assert door.claim("v0").json() == answer.json()
    assert election.counts().whole()


def test_a_claim_killed_before_the_commit(engine: Engine) -> None:
    election = engine.make_election(voters=2)
    worker = engine.start_worker()
    (door,) = engine.doors(election)
    with ThreadPoolExecutor(1) as thread:
        with holding(election.database.owner_url, "SELECT 1 FROM voters FOR UPDATE"):
            waiting = thread.submit(door.claim, "v0")
            wait_until_blocked(election)
            worker.kill()
        engine.start_worker()
        assert waiting.result().status_code in (200, 503)
    assert eventually(lambda: door.claim("v0").status_code == 200, TAKEOVER_S)
    assert door.token("v0") == door.token("v0")
    assert eventually(lambda: election.counts().whole())
    assert election.counts().issued == 1


def test_web_and_worker_killed_together(engine: Engine) -> None:
    """Nobody is left who knew of the vote, but Temporal."""
    election = engine.make_election(voters=1)
    worker = engine.start_worker()
    (door,) = engine.doors(election)
    ballot = door.ballot("v0")
    with ThreadPoolExecutor(1) as thread:
        with token_held(election, ballot.bearer):
            waiting = thread.submit(door.cast, ballot)
            wait_until_blocked(election)
            worker.kill()
            engine.web.kill()
        assert waiting.exception(10) is not None
    assert election.counts().accepted == 0
    engine.start_worker()
    engine.start_web()
    # Not sent again: the group that was started is carried through.
    assert eventually(lambda: election.counts().accepted == 1, TAKEOVER_S)
    (door,) = engine.doors(election)
    assert door.cast(ballot).content == door.receipt(ballot.receipt_hash).content
    assert election.counts().whole()


def test_a_vote_in_two_groups_at_once(engine: Engine) -> None:
    """Two web processes, the same bytes, one of the groups on its way for long."""
    election = engine.make_election(voters=1)
    engine.start_worker()
    engine.start_web()
    doors: list[Door] = engine.doors(election)
    ballot = doors[0].ballot("v0")
    with ThreadPoolExecutor(2) as threads:
        with token_held(election, ballot.bearer):
            waiting = [threads.submit(door.insist, ballot) for door in doors]
            console = Console(engine.env)
            assert eventually(
                lambda: len(console.workflow_ids("WorkflowType='submit_votes'")) == 2
            )
        receipts = {one.result() for one in waiting}
    assert len(receipts) == 1
    assert election.counts().whole()
    for group in console.workflow_ids("WorkflowType = 'submit_votes'"):
        console.finished(group)
