"""The program `judge`, built from Go's published libraries and asked by tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import needs
from tests.verifiers.asking import Asked

SOURCE = Path(__file__).parent / "judge"
Verdicts = dict[str, bool]


class Judge(Asked):
    """The running program."""

    def ask(self, kind: str, **request: Any) -> Verdicts:
        """Who of the libraries accepts."""
        answer = self.question(kind, **request)
        return {who: reason == "" for who, reason in answer.items()}

    def accepts_log(self, folder: Path, **keys: Any) -> bool:
        """`keys`: origin, key, and the witnesses that must have signed."""
        return self.ask("log", dir=str(folder), **keys) == {"log": True}

    def accepts_proof(self, data: bytes, leaf: bytes, **keys: Any) -> bool:
        return self.ask("proof", data=data, leaf=leaf, **keys) == {"proof": True}


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    go, program = needs.go_program(), tmp_path_factory.mktemp("judge") / "judge"
    assert go is not None
    build = [go, "build", "-trimpath", "-mod=readonly", "-o", str(program), "."]
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": ""}
    built = subprocess.run(
        build, cwd=SOURCE, env=env, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    running = Judge([program])
    yield running
    running.end()
