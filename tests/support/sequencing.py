"""The sequencer, run by hand with its own database role."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.engines import Engine
from tests.support.stacks import VOTEPYRAMID


def environment(engine: Engine, checkpoints: Path) -> dict[str, str]:
    """Of an engine's sequencer, which keeps its checkpoints in that folder."""
    return {
        **engine.env,
        "VOTEPYRAMID_DATABASE_URL": engine.database.sequencer_url,
        "VOTEPYRAMID_CHECKPOINT_FOLDER": str(checkpoints),
    }


def log(
    engine: Engine, checkpoints: Path, *words: str
) -> subprocess.CompletedProcess[str]:
    """`votepyramid log` with these words."""
    return subprocess.run(
        [VOTEPYRAMID, "log", *words],
        env=environment(engine, checkpoints),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
