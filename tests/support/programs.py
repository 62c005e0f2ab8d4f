"""Programs that tests need and that are built once, in the user's cache.

A first build takes minutes of every core. It goes on in a process of its own while
those tests run that need none: `python -m tests.support.programs temporal_cli`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence

import pytest

from tests.support import promtool
from tests.support.needs import missing
from votepyramid.stack import temporal
from votepyramid.stack.layout import ROOT

Say = Callable[[str], None]

# By the fixture that gives it to tests; in the order in which they are wanted.
FIND: dict[str, Callable[[Say], object]] = {
    "temporal_cli": temporal.find_cli,
    "temporal_programs_on_postgres": temporal.find_server,
    "promtool_program": promtool.find,
}
# Tests go first: what they have to wait for is mostly not the processor.
_NICE = 10


def wanted_by(items: Iterable[pytest.Item]) -> list[str]:
    """The fixtures of programs that these tests use, and that can be had here."""
    used = {name for item in items for name in getattr(item, "fixturenames", ())}
    lacking = {"promtool_program"} if missing({"promtool"}) else set()
    return [name for name in FIND if name in used - lacking]


def begin(wanted: Sequence[str]) -> subprocess.Popen[bytes]:
    """Have them, one after the other, beside the tests."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.programs", *wanted],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: os.nice(_NICE),  # noqa: PLW1509 - before any thread of ours
    )


if __name__ == "__main__":
    for one in sys.argv[1:]:
        FIND[one](lambda line: print(line, file=sys.stderr, flush=True))
