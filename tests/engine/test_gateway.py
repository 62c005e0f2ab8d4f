"""The gateway's bounds, as callers meet them at the public doors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.databases import Database
from tests.support.elections import MadeElection
from tests.support.engines import Engine, Engines, running
from tests.support.processes import eventually
from tests.support.together import cast_together
from tests.support.voting import Ballot, Door, assert_problem, at_once, statuses
from votepyramid.engine.shedding import LEAST_GROUPS
from votepyramid.protocol.ballot import SealedBallot
from votepyramid.settings import Settings
from votepyramid.stack.devserver import DevServer

# Two groups of one fit into what a caller waits, a third behind them does not.
SLOW_S = 2.3
CROWD = 110


def _gauge(door: Door, name: str) -> float:
    """A gateway's gauge for votes."""
    text = door.http.get("/metrics").text
    found = re.search(
        rf'^votepyramid_gateway_{name}{{line="votes"}} (\S+)$', text, re.MULTILINE
    )
    return float(found[1]) if found else 0.0


def _is(door: Door, name: str, value: float) -> bool:
    return eventually(lambda: _gauge(door, name) == value)


@contextmanager
def _slowed(election: MadeElection) -> Iterator[None]:
    """Let every transaction that records a group take longer."""
    with election.sql() as db:
        db.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN PERFORM pg_sleep({SLOW_S}); RETURN NULL; END $$"
        )
        db.execute(
            "CREATE TRIGGER slow BEFORE INSERT ON vote_submissions "
            "FOR EACH STATEMENT EXECUTE FUNCTION slow()"
        )
        yield
        db.execute("DROP TRIGGER slow ON vote_submissions")


@pytest.fixture(scope="module")
def by_default(engines: Engines) -> Iterator[Engine]:
    """An engine whose every bound is the default."""
    with engines.running("default") as started:
        assert not [name for name in started.env if "_GROUP" in name]
        yield started


def _side_by_side(threads: ThreadPoolExecutor, door: Door, pair: list[Ballot]) -> None:
    """Cast each in a group of its own; returns when both are under way."""
    for number, ballot in enumerate(pair, 1):
        threads.submit(door.cast, ballot)
        assert _is(door, "groups_running", number)


def test_a_slow_engine_sends_away_who_would_wait_too_long(by_default: Engine) -> None:
    election = by_default.make_election(id="slow", voters=LEAST_GROUPS + 3)
    (door,) = by_default.doors(election)
    ballots = at_once(lambda n: door.ballot(f"v{n}"), range(LEAST_GROUPS + 3))
    *first, one, two, late = ballots
    with ThreadPoolExecutor(len(ballots)) as threads, _slowed(election):
        for number in range(0, LEAST_GROUPS, 2):
            _side_by_side(threads, door, first[number : number + 2])
            assert _is(door, "groups_running", 0)
        _side_by_side(threads, door, [one, two])
        answer = door.cast(late)
    assert_problem(answer, 503, "overloaded")
    assert 1 <= int(answer.headers["Retry-After"]) <= 20
    assert _is(door, "groups_running", 0)
    assert len({door.insist(ballot) for ballot in ballots}) == len(ballots)
    assert election.counts().whole()


def test_a_burst_after_a_quiet_time_is_taken(by_default: Engine) -> None:
    election = by_default.make_election(id="burst", voters=CROWD + 10)
    (door,) = by_default.doors(election)
    ballots = at_once(lambda n: door.ballot(f"v{n}"), range(CROWD + 10))
    for ballot in ballots[CROWD:]:
        assert door.cast(ballot).status_code == 200
    answers = at_once(door.cast, ballots[:CROWD])
    assert statuses(answers) <= {200, 202}
    assert eventually(lambda: election.counts().accepted == CROWD + 10)


def test_groups_that_do_not_get_done_close_the_door(
    database: Database, temporal: DevServer, tmp_path: Path
) -> None:
    bounds = {"groups_in_flight": 3, "groups_stuck": 2, "answer_timeout": 2}
    with running(database, temporal, tmp_path, **bounds) as engine:
        election = engine.make_election(voters=5)
        (door,) = engine.doors(election)
        done, *ballots, late = [door.ballot(f"v{n}") for n in range(5)]
        first = door.cast(done)
        engine.worker.kill()
        with ThreadPoolExecutor(3) as threads:
            # Three at once are no more than may be under way.
            waiting = []
            for number, ballot in enumerate(ballots, 1):
                waiting.append(threads.submit(door.cast, ballot))
                assert _is(door, "groups_running", number)
            assert {one.result().status_code for one in waiting} == {202}
        answer = door.cast(late)
        assert_problem(answer, 503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        assert door.http.get("/health/ready").status_code == 503
        assert door.cast(done).content == first.content
        engine.start_worker()
        assert len({door.insist(ballot) for ballot in (late, *ballots)}) == 4
        assert election.counts().whole()


def test_the_queue_is_seen_empty_when_everybody_has_left(
    database: Database, temporal: DevServer, tmp_path: Path
) -> None:
    bounds = {"groups_in_flight": 1, "group_votes": 1, "answer_timeout": 1.5}
    with running(database, temporal, tmp_path, **bounds) as engine:
        election = engine.make_election(voters=4)
        (door,) = engine.doors(election)
        ballots = [door.ballot(f"v{n}") for n in range(4)]
        engine.worker.kill()
        with ThreadPoolExecutor(4) as threads:
            waiting = [threads.submit(door.cast, ballot) for ballot in ballots]
            assert eventually(lambda: _gauge(door, "queue_items") >= 2, 1)
            assert {one.result().status_code for one in waiting} == {202, 503}
        # Nobody else comes: what it shows is what those who left have made of it.
        assert _is(door, "queue_items", 0)


def test_a_group_takes_so_many_bytes(
    database: Database, temporal: DevServer, tmp_path: Path
) -> None:
    room = 6000
    bounds = {"groups_in_flight": 1, "group_bytes": room}
    with running(database, temporal, tmp_path, **bounds) as engine:
        election = engine.make_election(voters=7)
        (door,) = engine.doors(election)
        first, decoy, *ballots = [door.ballot(f"v{n}") for n in range(7)]
        door.insist(first)
        assert 2 * _bytes(decoy.sealed) < room < 3 * _bytes(decoy.sealed)
        cast_together(door, decoy, ballots)
        for ballot in ballots:
            door.insist(ballot)
        sizes = election.count(
            "SELECT array_agg(n ORDER BY n) FROM "
            "(SELECT count(*) AS n FROM vote_groups GROUP BY group_id) AS groups"
        )
    # Two alone, and those who waited behind the second.
    assert sizes == [1, 1, 1, 2, 2]
    assert room < Settings().group_bytes


def _bytes(sealed: SealedBallot) -> int:
    """What it takes in the workflow's argument: base64 and names."""
    return len(sealed.payload) * 4 // 3 + 512
