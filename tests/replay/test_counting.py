"""What counts as a difference, and how times are told."""

from __future__ import annotations

import io
import json
from array import array
from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console

from votepyramid.replay.count import Opened, Totals, differences
from votepyramid.replay.report import Report
from votepyramid.replay.timing import Timing, nearest_rank

A, B = ("P", ("A", "undervote")), ("P", ("B", "A"))
EXPECTED = Counter({A: 2, B: 1})
GOOD = Totals(3, 3, 3, 0, 3, 3)
RECEIPTS = {b"1", b"2", b"3"}
HASHES = {"1", "2", "3"}


def _opened(counts: Counter[object] | None = None, **changes: object) -> Opened:
    opened = Opened(Counter(counts or EXPECTED), set(RECEIPTS), set(HASHES), [])
    return replace(opened, **changes)


def _found(opened: Opened, totals: Totals = GOOD) -> list[str]:
    return differences(EXPECTED, opened, totals, RECEIPTS, HASHES)


def test_nothing_differs() -> None:
    assert _found(_opened()) == []


def test_a_changed_choice_is_named_on_both_sides() -> None:
    assert _found(_opened(Counter({A: 1, B: 2}))) == [
        "P: A, undervote: 2 in the file, 1 in the ballot box",
        "P: B, A: 1 in the file, 2 in the ballot box",
    ]


def test_a_ballot_nobody_cast() -> None:
    stranger = ("Q", ("A", "A"))
    assert _found(_opened(EXPECTED + Counter({stranger: 1}))) == [
        "Q: A, A: 0 in the file, 1 in the ballot box"
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokens_issued": 4}, "tokens issued: 4 for 3 voters"),
        ({"tokens_used": 2}, "tokens used: 2 for 3 voters"),
        ({"votes_accepted": 2}, "votes accepted: 2 for 3 voters"),
        ({"votes_rejected": 1}, "votes rejected: 1"),
        ({"audit_issued": 0}, "audited issues: 0 for 3 voters"),
        ({"audit_accepted": 5}, "audited votes: 5 for 3 voters"),
    ],
)
def test_totals_that_differ(changes: dict[str, int], said: str) -> None:
    assert _found(_opened(), replace(GOOD, **changes)) == [said]


def test_receipts_that_differ() -> None:
    assert _found(_opened(receipts={b"1", b"2", b"9"})) == [
        "2 receipts differ between voters and ballot box"
    ]
    assert _found(_opened(hashes={"1", "2"})) == [
        "1 votes differ between audit log and ballot box"
    ]


def test_a_ballot_that_does_not_open() -> None:
    assert _found(_opened(problems=["vote 1 does not open"])) == [
        "vote 1 does not open"
    ]


def test_percentiles_are_nearest_rank() -> None:
    timing = Timing(2.0, array("d", [n / 1000 for n in range(100, 0, -1)]))
    assert [timing.percentile(p) for p in (50, 95, 99, 100)] == [
        0.05,
        0.095,
        0.099,
        0.1,
    ]
    assert timing.rate == 50.0
    assert Timing(1.0, array("d", [3.0])).percentile(50) == 3.0
    assert (Timing().percentile(99), Timing().rate) == (0.0, 0.0)
    assert nearest_rank((value for value in (9.0, 1.0, 5.0)), 34) == 5.0


def _report(found: list[str]) -> Report:
    timing = Timing(1.0, array("d", [0.1, 0.2, 0.3]))
    return Report(
        "f.csv", "e", 3, 2, 8, {"503 Busy": 2}, timing, timing, 3, GOOD, found
    )


def test_the_report_names_every_difference() -> None:
    console = Console(file=io.StringIO(), width=200)
    _report([f"difference [{n}]" for n in range(30)]).show(console)
    shown = console.file.getvalue()
    assert "30 differences" in shown
    assert "difference [19]" in shown
    assert "and 10 more" in shown
    assert len(_report(["x"] * 30).to_json()["differences"]) == 30


def test_the_report_of_a_good_replay() -> None:
    console = Console(file=io.StringIO(), width=200)
    report = _report([])
    report.show(console)
    shown = console.file.getvalue()
    assert "2 waits before a retry (2 for 503 Busy)" in shown
    assert "holds exactly what the file says" in shown
    told = json.loads(json.dumps(report.to_json()))
    assert told["casts"] == {
        "seconds": 1.0,
        "per_second": 3.0,
        "p50_ms": 200.0,
        "p95_ms": 300.0,
        "p99_ms": 300.0,
    }
