"""The connection that carries commits to those who wait for them."""

from __future__ import annotations

import os
import statistics
import threading
import time
from pathlib import Path

import psycopg

from tests.support.databases import Database
from tests.support.engines import Engine, running
from tests.support.processes import eventually
from tests.support.voting import at_once
from votepyramid.stack import roles
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres

LISTENERS = (
    "FROM pg_stat_activity WHERE application_name = 'votepyramid-listen' "
    "AND datname = %s"
)

# Python runs it before anything else: a web process that neither looks at the tables
# nor asks for a workflow's result while a caller waits.
DEAF = """
from votepyramid.engine import gateway
gateway.LOOK_S = gateway.NOTIFY_GRACE_S = 600.0
print("hears notifications alone", flush=True)
"""


def test_a_commit_wakes_who_waits_for_it(
    database: Database, temporal: DevServer, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(DEAF)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with running(database, temporal, tmp_path, webs=0, answer_timeout=20) as engine:
        engine.env = {**engine.env, "PYTHONPATH": path}
        engine.start_web()
        election = engine.make_election(voters=1)
        (door,) = engine.doors(election)
        # Listening: from here on only a notification can wake.
        assert eventually(lambda: door.http.get("/health/ready").status_code == 200)
        claimed = door.claim("v0")
        assert claimed.status_code == 200, claimed.text
        cast = door.cast(door.ballot("v0"))
        assert cast.status_code == 200, cast.text
        assert "hears notifications alone" in engine.web.log_text()


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
