"""A missing part of the machine is named, skipped out loud, and fails under CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.needs import needs

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = """
from tests.conftest import *
from tests.support import needs
needs.PARTS["unicorn"] = needs.Part(lambda: False, "a unicorn (from the meadow)")
"""
TESTS = """
from tests.support.needs import needs

@needs("unicorn")
def test_rides():
    raise AssertionError("must not run")

def test_walks():
    pass
"""


def run_pytest(folder: Path, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_unicorn.py").write_text(TESTS)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-ra", "."],
        cwd=folder,
        env={**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_missing_part_is_listed_and_its_test_skipped(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, ci="")
    before_the_tests = done.stdout.split("test_unicorn.py")[0]
    assert "a unicorn (from the meadow)" in before_the_tests
    assert "1 passed, 1 skipped" in done.stdout
    assert done.returncode == 0


def test_under_ci_a_missing_part_is_an_error(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, ci="true")
    assert "1 passed, 1 error" in done.stdout
    assert done.returncode == 1


def test_an_unknown_part_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="no_such_part"):
        needs("no_such_part")
