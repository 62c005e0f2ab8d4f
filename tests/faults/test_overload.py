"""More voters than this process can keep waiting."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.databases import Database
from tests.support.engines import running
from tests.support.faults import holding, wait_until_blocked
from tests.support.voting import assert_problem, at_once
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.program import http_status

BOUND, CROWD = 4, 12


def test_who_is_sent_away_can_come_back(
    database: Database, temporal: DevServer, tmp_path: Path
) -> None:
    with running(
        database, temporal, tmp_path, waiting_bound=BOUND, threads=2 * CROWD
    ) as engine:
        election = engine.make_election(voters=CROWD + 1)
        (door,) = engine.doors(election)
        decoy, *ballots = [door.ballot(f"v{number}") for number in range(CROWD + 1)]
        first = door.cast(decoy)
        with ThreadPoolExecutor(CROWD) as threads:
            with holding(database.owner_url, "SELECT 1 FROM vote_tokens FOR UPDATE"):
                waiting = [threads.submit(door.cast, ballots[0])]
                wait_until_blocked(election)
                waiting += [threads.submit(door.cast, one) for one in ballots[1:BOUND]]
                time.sleep(0.5)
                began = time.monotonic()
                for answer in at_once(door.cast, ballots[BOUND:]):
                    assert_problem(answer, 503, "overloaded")
                    assert 1 <= int(answer.headers["Retry-After"]) <= 30
                # Whoever needs no group is served as ever.
                assert door.receipt(decoy.receipt_hash).content == first.content
                assert door.cast(decoy).content == first.content
                assert http_status(engine.web.port, "/health/live") == 200
                assert time.monotonic() - began < 2
            assert {one.result().status_code for one in waiting} <= {200, 202}
        receipts = {door.insist(ballot) for ballot in (decoy, *ballots)}
        assert len(receipts) == CROWD + 1
        assert election.counts().whole()
        shed = door.http.get("/metrics").text
        assert 'votepyramid_gateway_shed_total{line="votes"}' in shed
