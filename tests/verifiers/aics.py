"""The package aics-tlog, in an environment of its own: its commands, and its functions
asked about many changes by a program that runs there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import needs
from tests.verifiers.asking import Asked

REQUIREMENTS = Path(__file__).parent / "aics-tlog.txt"
PROGRAM = Path(__file__).parent / "aics_changes.py"


def _environment(folder: Path) -> Path:
    """The Python of a virtual environment with the package and what it needs."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    pip += ["--no-input", "--disable-pip-version-check", "--ignore-requires-python"]
    pip += ["--require-hashes", "-r", str(REQUIREMENTS)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = f"needs aics-tlog from a package index: {done.stderr[-300:]}"
        if needs.in_ci():
            pytest.fail(f"{said}, and CI must skip nothing", pytrace=False)
        pytest.skip(said)
    return python


class Tool:
    """Its commands, each of which prints one JSON object; and `asked`.

    Run with a folder of its own and without our settings, so that nothing of the
    engine can be imported.
    """

    def __init__(self, python: Path) -> None:
        self._python = python
        self._env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        self.asked = Asked([python, "-I", PROGRAM], self._env, python.parent)

    @property
    def packages(self) -> Path:
        """Where a Python of this version finds it."""
        (found,) = self._python.parent.parent.glob("lib/python*/site-packages")
        return found

    def run(self, *arguments: str | Path) -> tuple[bool, dict[str, Any]]:
        command = [self._python, "-I", "-m", "aics_tlog", *map(str, arguments)]
        ran = subprocess.run(
            command,
            cwd=self._python.parent,
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode in (0, 1), ran.stderr
        return ran.returncode == 0, json.loads(ran.stdout)


@pytest.fixture(scope="session")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tool]:
    made = Tool(_environment(tmp_path_factory.mktemp("aics") / "environment"))
    yield made
    made.asked.end()
