"""The connection that carries commits to those who wait for them."""

from __future__ import annotations

import statistics
import threading
import time

import psycopg

from tests.support.engines import Engine
from tests.support.processes import eventually
from tests.support.voting import at_once
from votepyramid.stack import roles
from votepyramid.stack.postgres import EmbeddedPostgres

LISTENERS = (
    "FROM pg_stat_activity WHERE application_name = 'votepyramid-listen' "
    "AND datname = %s"
)


def test_lost_again_and_again_under_load(
    calm: Engine, postgres: EmbeddedPostgres
) -> None:
    election = calm.make_election(id="listening", voters=48)
    (door,) = calm.doors(election)
    ballots = at_once(lambda number: door.ballot(f"v{number}"), range(48))
    stop = threading.Event()
    ended = 0

    def end_listeners() -> None:
        nonlocal ended
        url = postgres.url(roles.SUPERUSER, "postgres")
        with psycopg.connect(url, autocommit=True) as db:
            while not stop.wait(0.1):
                query = f"SELECT count(pg_terminate_backend(pid)) {LISTENERS}"
                row = db.execute(query, (calm.database.name,)).fetchone()
                ended += row[0] if row else 0

    def cast(lane: int) -> list[float]:
        times = []
        for ballot in ballots[lane::4]:
            began = time.monotonic()
            answer = door.cast(ballot)
            assert answer.status_code == 200, answer.text
            times.append(time.monotonic() - began)
        return times

    thread = threading.Thread(target=end_listeners)
    thread.start()
    try:
        assert eventually(lambda: ended > 0)
        times = [one for lane in at_once(cast, range(4)) for one in lane]
    finally:
        stop.set()
        thread.join()
    # Without notifications the group's result and a look each second answer.
    assert statistics.median(times) < 1.5 and max(times) < 3
    assert ended > 1
    assert election.counts().whole()

    url = postgres.url(roles.SUPERUSER, "postgres")
    with psycopg.connect(url, autocommit=True) as db:
        query = f"SELECT 1 {LISTENERS}"
        assert eventually(
            lambda: db.execute(query, (calm.database.name,)).fetchone() is not None
        )
