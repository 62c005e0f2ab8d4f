"""`votepyramid up` as a child of a test."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.making import clean_environment
from tests.support.processes import eventually, gone
from votepyramid.stack.layout import Layout, running_environment
from votepyramid.stack.postgres import EmbeddedPostgres

VOTEPYRAMID = Path(sys.executable).with_name("votepyramid")
# A machine that runs the suite has no core to spare.
UP_SECONDS = 180.0


class StackUp:
    """One `votepyramid up` on `state`; `output` is what a person would see."""

    def __init__(self, state: Path, *arguments: str) -> None:
        self.layout = Layout(state)
        self.log = state.with_name(f"{state.name}.output")
        with open(self.log, "wb") as output:
            self.process = subprocess.Popen(
                [VOTEPYRAMID, "up", "--state", str(state), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=clean_environment(),
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, seconds: float = UP_SECONDS) -> None:
        """Wait until the output holds `text`; AssertionError with all of it if not."""
        found = eventually(
            lambda: text in self.output or self.process.poll() is not None, seconds
        )
        assert found, self.output
        assert text in self.output, self.output

    def wait_up(self) -> None:
        self.wait_for("Ctrl-C stops everything")

    def environment(self) -> dict[str, str]:
        """The settings of this stack."""
        found = running_environment(self.layout.var)
        assert found is not None
        return found

    def pids(self) -> dict[str, int]:
        """Process ids of the parts, by name."""
        parts = {
            path.name.split(".")[0]: json.loads(path.read_text())["pid"]
            for path in self.layout.run.glob("*.process.json")
        }
        home = self.layout.postgres_home()
        pid_file = home / "data" / "postmaster.pid"
        return parts | {"postgres": int(pid_file.read_text().splitlines()[0])}

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def stack(state: Path, *arguments: str) -> Iterator[StackUp]:
    """A stack that is up, and whose every process is gone afterwards."""
    made = StackUp(state, *arguments)
    try:
        made.wait_up()
        yield made
    finally:
        if made.process.poll() is None:
            made.stop()
        made.layout.stop_orphans()
        EmbeddedPostgres(made.layout.postgres_home()).stop_orphan()


def all_gone(pids: dict[str, int], seconds: float = 15.0) -> bool:
    """True when every one of them ends within `seconds`."""
    return eventually(lambda: all(map(gone, pids.values())), seconds)
