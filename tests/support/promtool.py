"""Prometheus's own checker of rules: installed, cached, or built once with Go.

The cache is the user's, as for Temporal's programs (`votepyramid/stack/temporal.py`).
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from votepyramid.stack import gobuild
from votepyramid.stack.caches import users_cache

NAME = "promtool"
MODULES = Path(__file__).resolve().parents[1] / "observing" / "promtool"


def cached() -> Path:
    """Where the program of the pinned modules is, or will be."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((MODULES / name).read_bytes())
    return users_cache() / NAME / digest.hexdigest()[:12] / NAME


def present() -> bool:
    """Whether there is one, without building it."""
    return cached().exists() or shutil.which(NAME) is not None


def find(say: Callable[[str], None] = lambda line: None) -> Path:
    """The program, built if need be: over a minute on two cores."""
    installed = shutil.which(NAME)
    if installed is not None:
        return Path(installed)
    target = cached()
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_name("lock"), "w") as lock:
        # The second comer waits, and finds the first one's work.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            gobuild.build(MODULES, {NAME: target}, say)
    return target
