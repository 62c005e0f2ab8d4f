"""A large installation in its tables: a million votes, and all that goes with them.

Votes are those of `bench.votes`, claimed and cast by statements that write what the
engine writes, and sequenced by the real sequencer into both logs. Rows are as wide as
real ones. Beside them: other elections, people, orders, operators' acts, finished
exports, and an hour of the reports of processes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from bench import election, votes
from bench.backlog import cast_all, drain
from bench.place import Place
from bench.processes import processes
from votepyramid.stack.progress import Progress
from votepyramid.vitals.reporting import PERIOD_S

STYLES, ELECTIONS, PEOPLE, ORDERS, ACTS, EXPORTS = 40, 30, 40, 200, 20_000, 20
# A host each.
PROCESSES = {"claim": 4, "cast": 4, "worker": 4, "sequencer": 1}
_GROUPS = """
INSERT INTO vote_groups (receipt_hash, election, group_id)
SELECT receipt_hash, %(e)s, 'votes/' || md5((number / 64)::text) FROM staged
"""
_ACTS = """
INSERT INTO audit_events (election, kind, detail)
SELECT %(e)s,
  (ARRAY['junk_refused', 'untimely_refused', 'keys_rewrapped'])[1 + n %% 3],
  jsonb_build_object('count', n)
FROM generate_series(1, %(number)s) AS n
"""
_PEOPLE = """
INSERT INTO people (name, roles)
SELECT 'person-' || n, ARRAY['viewer', 'operator']
FROM generate_series(1, %(number)s) AS n
"""
_ORDERS = """
INSERT INTO orders (election, asked, alone, reason, given_by, given_at)
SELECT %(e)s, '{"order": "close_early"}', false, 'for the bench', 'person-1',
  clock_timestamp() - n * interval '1 minute'
FROM generate_series(1, %(number)s) AS n
"""
_EXPORTS = """
INSERT INTO asked_exports (election, asked_by, finished_at, status, files, bytes, sums,
  lacking, waiting, unopened)
SELECT %(e)s, 'person-1', clock_timestamp(), 'open', 20000, 2000000000,
  encode(sha256(n::text::bytea), 'hex'), n %% 2, 0, 0
FROM generate_series(1, %(number)s) AS n
"""
# A report of each process in the last hour, and later one more at a time. Counts go up,
# so that there is something to draw.
_REPORTS = """
INSERT INTO vitals (process, at, kind, host, pid, started_at, numbers)
SELECT md5(%(name)s || place)::uuid, at, %(kind)s, %(name)s || place, place,
  at - interval '2 hours', replace(%(numbers)s, '"COUNT"',
    (extract(epoch FROM at)::bigint %% 1000000 * 40)::text)::jsonb
FROM generate_series(1, %(many)s) AS place,
  generate_series(clock_timestamp() - %(seconds)s * interval '1 second',
    clock_timestamp(), %(period)s * interval '1 second') AS at
"""


def fill(place: Place, number: int, progress: Progress) -> None:
    """Make all of it, with so many votes."""
    with progress.step("Votes") as step:
        _stage(place, number)
        step.detail = f"{number:,}, with voters, tokens and receipts"
    with progress.step("Casts") as step:
        with place.owner() as db:
            votes.claim_all(db, election.ID, STYLES)
            db.execute(_GROUPS, {"e": election.ID})
        cast_all(place, number)
        step.detail = "with ballots, groups and events"
    with progress.step("Logs") as step:
        step.detail = f"of both kinds, in {drain(place):.0f} s"
    with progress.step("The rest") as step:
        _rest(place)
        step.detail = f"{ELECTIONS} elections, {ACTS:,} acts, an hour of reports"


def _stage(place: Place, number: int) -> None:
    with processes() as every, place.owner() as db:
        votes.stage(db, place.made(every, number))


def _rest(place: Place) -> None:
    with place.owner() as db:
        for number in range(ELECTIONS):
            names = {"e": election.ID, "o": f"other-{number}"}
            db.execute(votes.ELECTION, names)
        db.execute(_ACTS, {"e": election.ID, "number": ACTS})
        db.execute(_PEOPLE, {"number": PEOPLE})
        db.execute(_ORDERS, {"e": election.ID, "number": ORDERS})
        db.execute(_EXPORTS, {"e": election.ID, "number": EXPORTS})
        report(db, 3600)
        db.execute("VACUUM ANALYZE")


def report(db: psycopg.Connection[Any], seconds: int = 0) -> None:
    """The processes' reports of so many seconds until now."""
    for name, many in PROCESSES.items():
        kind = "web" if name in ("claim", "cast") else name
        numbers = json.dumps(_numbers(name))
        values = {"name": name, "kind": kind, "many": many, "numbers": numbers}
        db.execute(_REPORTS, {**values, "seconds": seconds, "period": PERIOD_S})


@contextmanager
def reporting(place: Place) -> Iterator[None]:
    """The same processes go on reporting."""
    ended = threading.Event()

    def run() -> None:
        with place.owner() as db:
            while not ended.wait(PERIOD_S):
                report(db)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _numbers(name: str) -> dict[str, Any]:
    """What such a process says, of three elections that take votes."""
    keys = {"keys": {"failing": None, "left": None}}
    if name == "sequencer":
        published = {"election": election.ID, "kind": "receipts", "ago": 3.0}
        return {"turn": True, "stopped": [], "published": [published], **keys}
    if name == "worker":
        return {"roles": ["cast", "claim"], **keys}
    door = {"status": {"200": "COUNT", "202": 17, "503": 3}, "class": ["COUNT"] * 13}
    line = {"waiting": 3, "groups": 2, "stuck": False, "wait": 0.1}
    doors = {name: dict.fromkeys((election.ID, "other-0", "other-1"), door)}
    return {"doors": doors, "lines": {name: line}, **keys}
