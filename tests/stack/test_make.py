"""The targets of the Makefile that cost little; the others are `make demo` (see
tests/replay/test_ward.py), and what `.ci/run` itself does: `make lint`, `make test`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.making import ROOT, make
from votepyramid.stack.layout import running_environment

pytestmark = pytest.mark.timeout(240)


def test_make_alone_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(" ".join(re.findall(r"(?m)^\.PHONY: (.*)$", makefile)).split())
    assert targets >= {"run", "test", "demo", "reset", "bench", "lint", "lock"}
    for words in ((), ("help",)):
        listed = make(*words)
        assert listed.returncode == 0, listed.stderr
        assert set(re.findall(r"(?m)^  make ([\w-]+) +\S", listed.stdout)) == targets


def test_run_ends_with_a_receipt_and_reset_throws_all_away(folder: Path) -> None:
    state = folder / "var"
    ran = make("run", f"ARGS=--state {state} --exit")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "cast now, receipt verified" in ran.stdout
    assert re.search(r"Receipt +[0-9a-f]{64}\n", ran.stdout)
    # Nothing is offered that has been stopped.
    assert "In another terminal" not in ran.stdout
    assert "http://127.0.0.1" not in ran.stdout.split("Receipt")[1]
    assert running_environment(state) is None
    reset = make("reset", f"ARGS=--state {state}")
    assert reset.returncode == 0, reset.stderr
    assert f"Threw {state} away" in reset.stdout
    assert not state.exists()
    assert "nothing to throw away" in make("reset", f"ARGS=--state {state}").stdout


def test_without_python_one_sentence_says_what_is_missing(folder: Path) -> None:
    failed = make("run", f"VENV={folder / 'venv'}", "PYTHON=")
    assert failed.returncode != 0
    (sentence, *_) = failed.stderr.splitlines()
    assert sentence.startswith("votepyramid needs Python 3.11 or newer with venv")
    assert not (folder / "venv").exists()
