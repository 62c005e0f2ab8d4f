"""SIGTERM while votes are under way."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.support.databases import Database
from tests.support.elections import MadeElection
from tests.support.engines import Engine, running
from tests.support.faults import Console, holding, wait_until_blocked
from tests.support.voting import Ballot, Door, at_once
from votepyramid.stack.devserver import DevServer

ALL_TOKENS = "SELECT 1 FROM vote_tokens FOR UPDATE"


@pytest.fixture
def engine(database: Database, temporal: DevServer, tmp_path: Path) -> Iterator[Engine]:
    with running(database, temporal, tmp_path) as started:
        yield started


def _ballots(engine: Engine, size: int) -> tuple[MadeElection, Door, list[Ballot]]:
    election = engine.make_election(voters=size)
    (door, *_) = engine.doors(election)
    ballots = at_once(lambda number: door.ballot(f"v{number}"), range(size))
    return election, door, ballots


def test_a_web_process_answers_whom_it_has_let_in(engine: Engine) -> None:
    election, door, ballots = _ballots(engine, 10)
    with ThreadPoolExecutor(len(ballots)) as threads:
        with holding(election.database.owner_url, ALL_TOKENS):
            waiting = [threads.submit(door.cast, one) for one in ballots]
            wait_until_blocked(election)
            time.sleep(0.5)
            engine.web.signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(httpx2.ConnectError):
                httpx2.get(f"{door.url}/health/live")
        answers = [one.result() for one in waiting]
    assert {answer.status_code for answer in answers} == {200}
    assert engine.webs[0].wait(10) == 0
    counts = election.counts()
    assert counts.whole() and counts.accepted == len(ballots)


def test_a_web_process_does_not_wait_for_what_takes_long(engine: Engine) -> None:
    election, door, ballots = _ballots(engine, 4)
    with (
        ThreadPoolExecutor(len(ballots)) as threads,
        holding(election.database.owner_url, ALL_TOKENS),
    ):
        waiting = [threads.submit(door.cast, one) for one in ballots]
        wait_until_blocked(election)
        began = time.monotonic()
        assert engine.web.terminate() == 0
        assert time.monotonic() - began < 8
        answers = [one.result() for one in waiting]
    assert {answer.status_code for answer in answers} == {202}
    engine.start_web()
    (door,) = engine.doors(election)
    for ballot in ballots:
        door.insist(ballot)
    assert election.counts().whole()


def test_a_worker_finishes_what_it_has_begun(engine: Engine) -> None:
    election, door, ballots = _ballots(engine, 10)
    with ThreadPoolExecutor(len(ballots)) as threads:
        with holding(election.database.owner_url, ALL_TOKENS):
            waiting = [threads.submit(door.cast, one) for one in ballots[:1]]
            wait_until_blocked(election)
            engine.worker.signal(signal.SIGTERM)
            time.sleep(0.3)
        assert [one.result().status_code for one in waiting] == [200]
        assert engine.workers[0].wait(25) == 0
        # Nobody is there for the rest; they wait in Temporal.
        waiting = [threads.submit(door.insist, one, 60) for one in ballots[1:]]
        time.sleep(1)
        engine.start_worker()
        for one in waiting:
            one.result()
    counts = election.counts()
    assert counts.whole() and counts.accepted == len(ballots)


def test_one_of_each_is_replaced_under_load(engine: Engine) -> None:
    engine.start_web()
    engine.start_worker()
    election, _, ballots = _ballots(engine, 60)
    doors = engine.doors(election)
    with ThreadPoolExecutor(12) as threads:
        waiting = [
            threads.submit(_insist_anywhere, doors, number, ballot)
            for number, ballot in enumerate(ballots)
        ]
        time.sleep(0.3)
        for program in (engine.webs[0], engine.workers[0]):
            assert program.terminate() == 0, program.log_text()
        receipts = [one.result() for one in waiting]
    assert len(set(receipts)) == len(ballots)
    counts = election.counts()
    assert counts.whole() and counts.accepted == len(ballots)
    # Nothing is left over in Temporal either.
    console = Console(engine.env)
    for group in console.workflow_ids("ExecutionStatus = 'Running'"):
        console.finished(group)


def _insist_anywhere(doors: Sequence[Door], number: int, ballot: Ballot) -> bytes:
    """Send the same bytes to one process after another until there is a receipt."""
    deadline = time.monotonic() + 40
    for door in itertools.cycle(doors[number % 2 :] + doors[: number % 2]):
        assert time.monotonic() < deadline, "no receipt"
        try:
            answer = door.cast(ballot)
        except httpx2.TransportError:
            time.sleep(0.05)
            continue
        if answer.status_code == 200:
            return answer.content
        assert answer.status_code in (202, 503), answer.text
        time.sleep(0.2)
    raise AssertionError("unreachable")
