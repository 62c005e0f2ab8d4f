"""Temporal is killed and comes back: what it held goes on, the rest is sent again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.databases import Database
from tests.support.engines import Engine, running
from tests.support.faults import token_held, wait_until_blocked
from tests.support.processes import eventually
from tests.support.voting import assert_problem, at_once
from votepyramid.stack.devserver import DevServer

VOTERS = 16


@pytest.fixture
def own_temporal(temporal_cli: Path, tmp_path: Path) -> Iterator[DevServer]:
    server = DevServer(temporal_cli, tmp_path / "temporal")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def engine(
    database: Database, own_temporal: DevServer, tmp_path: Path
) -> Iterator[Engine]:
    with running(database, own_temporal, tmp_path) as started:
        yield started


def _kill(server: DevServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.stop()


def test_a_receipt_needs_neither_temporal_nor_workers(
    engine: Engine, own_temporal: DevServer
) -> None:
    election = engine.make_election(voters=2)
    (door,) = engine.doors(election)
    ballot, never = door.ballot("v0"), door.ballot("v1")
    first = door.cast(ballot)
    assert first.status_code == 200, first.text
    engine.worker.kill()
    _kill(own_temporal)
    found = door.receipt(ballot.receipt_hash)
    assert (found.status_code, found.content) == (200, first.content)
    again = door.cast(ballot)
    assert (again.status_code, again.content) == (200, first.content)
    assert_problem(door.receipt(never.receipt_hash), 404, "receipt_unknown")


def test_down_and_back_under_load(engine: Engine, own_temporal: DevServer) -> None:
    election = engine.make_election(voters=VOTERS + 3)
    (door,) = engine.doors(election)
    ballots = at_once(lambda number: door.ballot(f"v{number}"), range(VOTERS))
    early, held = door.ballot(f"v{VOTERS}"), door.ballot(f"v{VOTERS + 1}")
    first = door.cast(early)
    with ThreadPoolExecutor(VOTERS + 1) as threads:
        with token_held(election, held.bearer):
            waiting = [threads.submit(door.insist, held, 60)]
            wait_until_blocked(election)
            waiting += [threads.submit(door.insist, one, 60) for one in ballots]
            time.sleep(0.1)
            _kill(own_temporal)
            # While it is away: what needs a group is told to come again, the rest
            # is answered from Postgres.
            assert_problem(door.claim(f"v{VOTERS + 2}"), 503, "unavailable")
            late = door.cast(door.seal(early.bearer))
            assert late.status_code in (202, 503)
            assert int(late.headers["Retry-After"]) >= 1
            assert door.receipt(early.receipt_hash).content == first.content
            assert door.cast(early).content == first.content
            ready = door.http.get("/health/ready")
            assert ready.status_code == 503
            wrong = [one["name"] for one in ready.json()["checks"] if not one["ok"]]
            assert "temporal" in wrong and "postgres" not in wrong
        own_temporal.start()
        receipts = [one.result() for one in waiting]
    for ballot, receipt in zip((held, *ballots), receipts, strict=True):
        assert door.cast(ballot).content == receipt
    assert door.token(f"v{VOTERS + 2}")
    counts = election.counts()
    assert counts.whole() and counts.accepted == VOTERS + 2
    assert eventually(lambda: door.http.get("/health/ready").status_code == 200, 20)
