"""What processes say of themselves, and what that comes to."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import Engine

from tests.support.databases import Database
from votepyramid.db import make_engine
from votepyramid.vitals import service
from votepyramid.vitals.reporting import Reporter
from votepyramid.vitals.service import Process
from votepyramid.vitals.tally import BOUNDS, MAX_ELECTIONS, Tally, quantile


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """Of the administrators' role, which reads."""
    made = make_engine(database.admin_url, pool_size=2)
    yield made
    made.dispose()


@pytest.fixture(params=["app_url", "sequencer_url", "keeper_url"])
def reporting(database: Database, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Of each role that reports."""
    made = make_engine(getattr(database, request.param), pool_size=2)
    yield made
    made.dispose()


def insert(
    database: Database, process: uuid.UUID, ago: float, numbers: dict[str, Any]
) -> None:
    """A report of a web process, so many seconds ago."""
    with psycopg.connect(database.owner_url) as db:
        db.execute(
            "INSERT INTO vitals (process, at, kind, host, pid, started_at, numbers) "
            "VALUES (%s, now() - %s * interval '1 second', 'web', 'here', 1, now(), "
            "%s)",
            (process, ago, Jsonb(numbers)),
        )


def doors(casts: int, slow: int = 0) -> dict[str, Any]:
    """Numbers of a process that has answered so many casts, some of them slowly."""
    tally = Tally()
    for number in range(casts):
        tally.answered("cast", "demo", 200, 0.9 if number < slow else 0.02)
    return {"doors": tally.numbers()}


def test_a_process_reports_and_is_seen(engine: Engine, reporting: Engine) -> None:
    tally = Tally()
    tally.answered("cast", "demo", 200, 0.03)
    Reporter(reporting, "web", lambda: {"doors": tally.numbers()}).report()
    with engine.connect() as connection:
        (found,) = service.processes(connection)
    assert found.kind == "web" and found.alive and 0 <= found.age < 5
    assert found.numbers["doors"]["cast"]["demo"]["status"] == {"200": 1}


def test_flows_are_what_changed_over_the_last_minute(
    engine: Engine, database: Database
) -> None:
    one, other, gone = (uuid.uuid4() for _ in range(3))
    insert(database, one, 50, doors(100))
    insert(database, one, 0, doors(350, slow=50))
    insert(database, other, 40, doors(10))
    insert(database, other, 0, doors(50))
    # Its last words are too old to count.
    insert(database, gone, 500, doors(1))
    insert(database, gone, 400, doors(1000))
    with engine.connect() as connection:
        flow = service.flows(connection)["cast", "demo"]
        alive = service.processes(connection)
    assert flow.taken == pytest.approx(250 / 50 + 40 / 40, rel=0.02)
    assert flow.turned_away == 0
    assert flow.p50 is not None and 0.01 < flow.p50 <= 0.025
    assert flow.p95 is not None and 0.5 < flow.p95 <= 1.0
    assert sum(one.alive for one in alive) == 2 and len(alive) == 3


def test_who_was_turned_away_is_counted_apart(
    engine: Engine, database: Database
) -> None:
    tally, process = Tally(), uuid.uuid4()
    insert(database, process, 30, {"doors": tally.numbers()})
    for status in (200, 202, 429, 503, 503, 422):
        tally.answered("cast", "demo", status, 0.02)
    insert(database, process, 0, {"doors": tally.numbers()})
    with engine.connect() as connection:
        flow = service.flows(connection)["cast", "demo"]
    assert flow.taken == pytest.approx(2 / 30, rel=0.02)
    assert flow.turned_away == pytest.approx(3 / 30, rel=0.02)


def test_history_goes_by_the_minute(engine: Engine, database: Database) -> None:
    process = uuid.uuid4()
    for minute in range(10, -1, -1):
        insert(database, process, 60 * minute, doors((10 - minute) * 120))
    with engine.connect() as connection:
        found = service.history(connection)
    assert len(found) == 10
    assert [one.at for one in found] == sorted(one.at for one in found)
    for one in found:
        assert one.flows["cast", "demo"].taken == pytest.approx(2.0, rel=0.05)


def test_reports_are_kept_for_two_hours(reporting: Engine, database: Database) -> None:
    insert(database, uuid.uuid4(), 2 * 3600 + 60, {})
    insert(database, uuid.uuid4(), 3600, {})
    Reporter(reporting, "web", dict).report()
    with psycopg.connect(database.owner_url) as db:
        assert db.execute("SELECT count(*) FROM vitals").fetchone() == (2,)


def test_a_report_is_bounded(reporting: Engine, database: Database) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        insert(database, uuid.uuid4(), 0, {"doors": "x" * 70_000})
    tally = Tally()
    for number in range(3 * MAX_ELECTIONS):
        for door in ("cast", "claim"):
            for status in (200, 202, 401, 409, 422, 429, 503):
                tally.answered(door, f"e{number:063}", status, 0.3)
    Reporter(reporting, "web", lambda: {"doors": tally.numbers()}).report()


@pytest.mark.parametrize(
    ("classes", "share", "expected"),
    [
        ([0] * 13, 0.5, None),
        ([10] + [0] * 12, 0.5, 0.005),
        ([0, 10] + [0] * 11, 1.0, 0.025),
        ([5, 5] + [0] * 11, 0.5, 0.01),
        ([0] * 12 + [3], 0.95, BOUNDS[-1]),
    ],
)
def test_quantiles(classes: list[int], share: float, expected: float | None) -> None:
    assert quantile(classes, share) == expected


def process(age: float, up: float, **more: Any) -> Process:
    """A worker, heard of `age` seconds ago and begun `up` seconds ago."""
    named = {"kind": "worker", "host": "here", "pid": 1, "numbers": {}, **more}
    return Process(process=uuid.uuid4(), age=age, up=up, **named)


def test_whom_another_has_come_for_is_not_missing() -> None:
    gone, also = process(100, 500), process(200, 500)
    alive = process(1, 400)
    assert service.missing([gone, also, alive]) == [gone, also]
    # One for one, and only from after the last word.
    assert service.missing([gone, also, alive, process(1, 90)]) == [also]
    assert service.missing([also, alive, process(1, 150)]) == []
    elsewhere = process(1, 50, host="there"), process(1, 50, kind="web")
    assert service.missing([gone, *elsewhere]) == [gone]


def test_who_said_so_is_not_missing(engine: Engine, reporting: Engine) -> None:
    reporter = Reporter(reporting, "worker", dict)
    reporter.report()
    reporter.report(left=True)
    with engine.connect() as connection:
        (found,) = service.processes(connection)
    assert found.left and not found.alive
    assert service.missing([found]) == []
