"""`make` as a person types it, in the checkout and with the running environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from votepyramid.stack.children import environment_without

ROOT = Path(__file__).resolve().parents[2]


def clean_environment() -> dict[str, str]:
    """This process's, without settings of a stack that may run here."""
    return environment_without(
        "VOTEPYRAMID_", "MAKE", kept={"VOTEPYRAMID_TEMPORAL_BIN"}
    )


def make(
    *words: str, env: Mapping[str, str] | None = None, seconds: float = 110
) -> subprocess.CompletedProcess[str]:
    """Run a target of the Makefile with the virtual environment that runs us.

    What is installed is taken as up to date: a test must not install anything.
    """
    venv = sys.prefix
    installed = ["-o", f"{venv}/.run", "-o", f"{venv}/.dev", f"VENV={venv}"]
    return subprocess.run(
        ["make", *installed, *words],
        cwd=ROOT,
        env=clean_environment() if env is None else env,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
