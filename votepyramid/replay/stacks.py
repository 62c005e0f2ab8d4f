"""The stack that a replay runs against: one that is up, or one of its own."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from votepyramid.stack import children
from votepyramid.stack.errors import StackError
from votepyramid.stack.layout import VAR, Layout, running_environment

# A first start may have to build Temporal.
_START_SECONDS = 1800.0
_OPERATOR = "VOTEPYRAMID_OWNER_DATABASE_URL"


@dataclass(frozen=True)
class Target:
    """Where to vote, and the operator's settings there (VOTEPYRAMID_…)."""

    url: str
    environment: Mapping[str, str] = field(repr=False)


def given(url: str, environment: Mapping[str, str], state: Path = VAR) -> Target:
    """The running stack at `url`. Raises StackError without operator's settings.

    They come from the environment, or from the stack that runs on `state`.
    """
    if environment.get(_OPERATOR):
        return Target(url, environment)
    running = running_environment(state)
    if running is not None and running.get("VOTEPYRAMID_URL") == url.rstrip("/"):
        return Target(url, {**environment, **running})
    raise StackError(
        "A replay makes its own election and so needs the operator's settings of "
        f"the stack at {url}: `source var/run/environment`, or set {_OPERATOR} and "
        "the others. Leave --url out to use a stack that is started for the replay."
    )


@contextmanager
def started(console: Console) -> Iterator[Target]:
    """A stack of one's own on a fresh state folder, both gone at the end.

    Raises StackError with its last words when it does not come up.
    """
    state = Path(tempfile.mkdtemp(prefix="votepyramid-replay-"))
    layout = Layout(state)
    handle, name = tempfile.mkstemp(prefix="votepyramid-replay-", suffix=".log")
    os.close(handle)
    log = Path(name)
    try:
        with _up(state, log, console) as target:
            yield target
    finally:
        layout.stop_orphans()
        layout.remove()
        shutil.rmtree(state, ignore_errors=True)
        log.unlink(missing_ok=True)


@contextmanager
def _up(state: Path, log: Path, console: Console) -> Iterator[Target]:
    command = [sys.executable, "-c", "from votepyramid.cli import main; main()", "up"]
    process = children.spawn(
        [*command, "--state", str(state), "--no-demo"], log=log, env=os.environ
    )
    try:
        with console.status("Starting a stack …") as status:

            def ready() -> bool:
                lines = children.tail(log, 1)
                status.update(f"Starting a stack … {lines.strip()}")
                return running_environment(state) is not None

            if not children.wait_until(
                ready,
                seconds=_START_SECONDS,
                alive=lambda: process.poll() is None,
                pause=0.25,
            ):
                raise StackError(f"No stack could be started:\n{children.tail(log)}")
        environment = running_environment(state)
        if environment is None:
            raise StackError(f"The stack went away:\n{children.tail(log)}")
        yield Target(environment["VOTEPYRAMID_URL"], environment)
    finally:
        with console.status("Stopping the stack …"):
            children.stop(process)
