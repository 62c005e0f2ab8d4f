"""`make run`'s demo: one ballot cast as a voter does, and a receipt that holds."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.stacks import VOTEPYRAMID, StackUp, stack

pytestmark = pytest.mark.timeout(240)


def receipt_shown(made: StackUp) -> str:
    found = re.search(r"Receipt +([0-9a-f]{64})", made.output)
    assert found, made.output
    return found[1]


def votepyramid(made: StackUp, *arguments: str, **env: str) -> str:
    """A command in another terminal, after `source var/run/environment`."""
    done = subprocess.run(
        [VOTEPYRAMID, *arguments],
        env={**os.environ, **made.environment(), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_ballot_is_cast_once_and_stays(folder: Path) -> None:
    with stack(folder / "var") as made:
        assert "cast now, receipt verified" in made.output
        first = receipt_shown(made)
        shown = json.loads(votepyramid(made, "election", "show", "demo", "--json"))
        assert shown["votes_accepted"] == 1
    with stack(folder / "var") as made:
        assert "cast before, still there, receipt verified" in made.output
        assert receipt_shown(made) == first
        file = made.layout.demo / "receipt.json"
        assert first in votepyramid(made, "verify", str(file))
        shown = json.loads(votepyramid(made, "election", "show", "demo", "--json"))
        assert shown["votes_accepted"] == shown["tokens_used"] == 1
        what_the_banner_says_can_be_typed(made, folder)


def what_the_banner_says_can_be_typed(made: StackUp, folder: Path) -> None:
    assert "voter token demo-2" in made.output
    jwt = votepyramid(made, "voter", "token", "demo-2").strip()
    choices = folder / "choices.json"
    choices.write_text('{"library": [["station"]], "hours": [["no"]]}')
    arguments = ["--choices", str(choices), "--out", str(folder / "my.json")]
    said = votepyramid(made, "vote", *arguments, "--json", VOTEPYRAMID_JWT=jwt)
    assert json.loads(said)["status"] == "accepted"
    shown = json.loads(votepyramid(made, "election", "show", "demo", "--json"))
    assert shown["votes_accepted"] == 2
