"""Postgres ends in the middle of a group, and comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import databases
from tests.support.engines import Engine, running
from tests.support.faults import Console, token_held, wait_until_blocked
from tests.support.processes import eventually
from tests.support.voting import assert_problem, at_once
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres
from votepyramid.stack.program import http_status

VOTERS = 8


@pytest.fixture
def own_postgres(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(server_folder / "own-postgres")
    server.start()
    databases.make_template(server)
    yield server
    server.stop()


@pytest.fixture
def engine(
    own_postgres: EmbeddedPostgres, temporal: DevServer, tmp_path: Path
) -> Iterator[Engine]:
    with (
        databases.fresh(own_postgres) as database,
        running(database, temporal, tmp_path) as started,
    ):
        yield started
        if not own_postgres.alive():
            own_postgres.start()


def _kill(server: EmbeddedPostgres) -> None:
    """As a power cut: nothing is rolled back or written down."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGQUIT)
    server.stop()


def test_down_in_the_middle_of_a_group_and_back(
    engine: Engine, own_postgres: EmbeddedPostgres
) -> None:
    election = engine.make_election(voters=VOTERS + 2)
    (door,) = engine.doors(election)
    ballots = at_once(lambda number: door.ballot(f"v{number}"), range(VOTERS))
    early = door.ballot(f"v{VOTERS}")
    first = door.cast(early)
    console = Console(engine.env)
    with ThreadPoolExecutor(VOTERS) as threads:
        with token_held(election, ballots[0].bearer):
            waiting = [threads.submit(door.insist, one, 60) for one in ballots]
            wait_until_blocked(election)
            _kill(own_postgres)
        # Whatever is asked now is a 503 that may be tried again, and quickly.
        assert_problem(door.cast(early), 503, "unavailable")
        assert_problem(door.receipt(early.receipt_hash), 503, "unavailable")
        assert_problem(door.claim(f"v{VOTERS + 1}"), 503, "unavailable")
        assert http_status(engine.web.port, "/health/live") == 200
        assert http_status(engine.web.port, "/health/ready") == 503
        # The group that was under way waits for it, where an operator sees it.
        assert eventually(lambda: bool(console.needing_attention()), 20)
        stuck = console.needing_attention()
        assert all(group.startswith("votes/") for group in stuck)
        own_postgres.start()
        receipts = [one.result() for one in waiting]
    for ballot, receipt in zip(ballots, receipts, strict=True):
        assert door.cast(ballot).content == receipt
    assert door.cast(early).content == first.content
    for group in stuck:
        console.finished(group)
        assert console.attention(group) is False
    assert door.token(f"v{VOTERS + 1}")
    counts = election.counts()
    assert counts.whole() and counts.accepted == VOTERS + 1
    assert "unexpected" not in engine.web.log_text()
