"""`python -m bench`, short: the figures mean nothing, the path is the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.rounds import Window
from bench.targets import Figure, exit_status
from tests.bench.running import run_bench
from tests.support.needs import needs


@needs("postgresql-debian")
@pytest.mark.usefixtures("temporal_programs_on_postgres")
@pytest.mark.timeout(300)
def test_engine_and_textbook_are_measured_and_every_vote_is_there(
    tmp_path: Path,
) -> None:
    options = ["--rounds=1", "--seconds=2", "--textbook-seconds=3", "--warm-up=1"]
    measured, said = run_bench(tmp_path, "bench", *options, "--clients=1,8")
    names = [(one["name"], one["clients"]) for one in measured["contenders"]]
    assert names == [("engine", 1), ("engine", 8), ("textbook", 32)]
    for one in measured["contenders"]:
        [result] = one["rounds"]
        assert result["latencies"] > 0
        assert result["again"] == {}
    counts = measured["counts"]
    assert counts["receipts"] >= sum(
        one["rounds"][0]["latencies"] for one in measured["contenders"]
    )
    assert set(counts["stored"].values()) == {counts["receipts"], 0}
    assert counts["stored"]["rejected"] == 0
    assert "What the comparison leaves out" in said
    # Of both numbers of clients: what envelope and receipt are of a cast's CPU.
    assert [one["unit"] for one in measured["figures"]] == ["%", "%"]


def test_a_round_that_ran_out_of_ballots_is_not_a_round() -> None:
    window = Window(warm_up=1.0, seconds=2.0, now=0.0)
    window.ran_out(3.0)
    assert not window.exhausted
    window.ran_out(2.9)
    assert window.exhausted


def test_a_figure_is_met_or_missed_and_the_exit_status_says_so() -> None:
    enough = Figure("rate", 5000.0, "leaves/s", 5000.0)
    too_few = Figure("rate", 4999.9, "leaves/s", 5000.0)
    quick = Figure("proof", 4.99, "ms", 5.0, under=True)
    slow = Figure("proof", 5.0, "ms", 5.0, under=True)
    assert [one.met for one in (enough, too_few, quick, slow)] == [
        True,
        False,
        True,
        False,
    ]
    assert too_few.row()[-1] == "MISSED"
    assert quick.row()[1:] == ["5.0 ms", "< 5 ms", "met"]
    assert exit_status([enough, quick]) == 0
    assert exit_status([enough, slow]) == 1
