"""A check that fails does not wait for what other processes still do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.processes import eventually
from votepyramid.auditors.case import Discrepancy
from votepyramid.auditors.verifying import every_core

# Long, and still within a test's time: one that waits for it fails, and does not hang.
LONG_S = 20


def job(folder: Path) -> None:
    """What a hostile history can be: it began, and does not end."""
    (folder / "began").touch()
    time.sleep(LONG_S)
    (folder / "ended").touch()


def test_a_job_that_does_not_end_is_killed(tmp_path: Path) -> None:
    with pytest.raises(Discrepancy), every_core() as executor:
        executor.submit(job, tmp_path)
        assert eventually((tmp_path / "began").exists, LONG_S)
        raise Discrepancy("histories", "forged")
    assert not (tmp_path / "ended").exists()
