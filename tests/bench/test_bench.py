"""`python -m bench`, short: the figures mean nothing, the path is the real one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.rounds import Window
from tests.house.source import ROOT
from tests.support.needs import needs


@needs("postgresql-debian")
@pytest.mark.usefixtures("temporal_programs_on_postgres")
@pytest.mark.timeout(300)
def test_engine_and_textbook_are_measured_and_every_vote_is_there(
    tmp_path: Path,
) -> None:
    results = tmp_path / "results"
    options = ["--rounds=1", "--seconds=2", "--textbook-seconds=3", "--warm-up=1"]
    folders = [f"--state={tmp_path / 'state'}", f"--results={results}"]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *options, "--clients=1,8", *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [file] = results.iterdir()
    measured = json.loads(file.read_text())
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
    assert "What the comparison leaves out" in done.stdout
    # Nothing of the election stays behind.
    left = {path.name for path in (tmp_path / "state").iterdir()}
    assert not left & {"postgres", "temporal", "secrets"}


def test_a_round_that_ran_out_of_ballots_is_not_a_round() -> None:
    window = Window(warm_up=1.0, seconds=2.0, now=0.0)
    window.ran_out(3.0)
    assert not window.exhausted
    window.ran_out(2.9)
    assert window.exhausted
