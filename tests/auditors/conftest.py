"""One engine and its sequencer; an election that was voted in, and its export."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import sequencing
from tests.support.engines import Engine, Engines
from tests.support.stacks import VOTEPYRAMID
from votepyramid.stack.children import environment_without


@dataclass(frozen=True)
class Bureau:
    """Where `votepyramid audit` and the sequencer are run."""

    engine: Engine
    checkpoints: Path

    def sequence(self) -> None:
        done = sequencing.log(self.engine, self.checkpoints, "sequence", "--once")
        assert done.returncode == 0, done.stderr

    def export(
        self, election: str, folder: Path, *words: str
    ) -> subprocess.CompletedProcess[str]:
        env = {
            **self.engine.env,
            "VOTEPYRAMID_OWNER_DATABASE_URL": self.engine.database.owner_url,
        }
        # What these tests slip in came through no workflow, and will not come.
        waits = ("--wait", "3", "--json")
        return _audit(env, "export", election, str(folder), *waits, *words)


def verify(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`votepyramid audit verify` with nothing but the folder: no setting at all."""
    return _audit(environment_without("VOTEPYRAMID_"), "verify", str(folder), *words)


def discrepancy(folder: Path, *words: str) -> dict[str, Any]:
    """The one that is found; it must be one."""
    done = verify(folder, "--json", *words)
    assert done.returncode == 3, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["discrepancy"]
    return found


def _audit(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [VOTEPYRAMID, "audit", *words],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="package")
def engine(engines: Engines) -> Iterator[Engine]:
    with engines.running("auditors") as started:
        yield started


@pytest.fixture(scope="package")
def bureau(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Bureau:
    return Bureau(engine, tmp_path_factory.mktemp("checkpoints"))
