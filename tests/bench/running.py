"""A bench as a command, with so little to do that its figures mean nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.house.source import ROOT


def run_bench(folder: Path, module: str, *options: str) -> tuple[dict[str, Any], str]:
    """What it wrote into its file of results, and what it printed.

    It ends with 1 exactly when a figure misses its target, as it can here.
    """
    results = folder / "results"
    folders = [f"--state={folder / 'state'}", f"--results={results}"]
    done = subprocess.run(
        [sys.executable, "-m", module, *options, *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert results.exists(), done.stdout + done.stderr
    [file] = results.iterdir()
    measured: dict[str, Any] = json.loads(file.read_text())
    assert measured["figures"]
    met = [one["met"] for one in measured["figures"]]
    assert done.returncode == (0 if all(met) else 1)
    assert ("MISSED" in done.stdout) == (not all(met))
    # Nothing of the election stays behind.
    left = {path.name for path in (folder / "state").iterdir()}
    assert not left & {"postgres", "temporal", "secrets"}
    return measured, done.stdout
