"""Our own processes (web, worker) as children."""

from __future__ import annotations

import http.client
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from votepyramid.stack import children
from votepyramid.stack.errors import StackError
from votepyramid.stack.ports import LOOPBACK


class Program(children.Child):
    """One `votepyramid …` process.

    `ready` says when it can be used; `env` is its whole environment. `start` after
    a crash starts it again; its output is appended to `log`.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        ready: Callable[[], bool],
        cwd: Path | None = None,
        record: Path | None = None,
        start_seconds: float = 60.0,
        drain_seconds: float = 30.0,
    ) -> None:
        super().__init__(log, record)
        self.name = name
        self._arguments = list(arguments)
        self._env = dict(env)
        self._ready = ready
        self._cwd = cwd
        self._start_seconds = start_seconds
        self.stop_signals = (
            (signal.SIGTERM, drain_seconds),
            (signal.SIGKILL, 5.0),
        )

    def start(self, *, wait: bool = True) -> None:
        """Start it and, unless told otherwise, wait until it is ready.

        Raises:
            StackError: it ended or was not ready in time; ends with its log.
        """
        script = Path(sys.executable).with_name("votepyramid")
        self._spawn([script, *self._arguments], env=self._env, cwd=self._cwd)
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait for a started process; raises as `start` does."""
        if not children.wait_until(
            self._ready, seconds=self._start_seconds, alive=self.alive, pause=0.1
        ):
            how = (
                f"was not ready after {self._start_seconds:.0f} s"
                if self.alive()
                else f"ended with {self.returncode}"
            )
            self.stop()
            raise StackError(f"{self.name} {how}:\n{children.tail(self.log, 20)}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone, not to its children."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Wait for its end; the exit status, negative for a signal."""
        assert self._process is not None
        return self._process.wait(seconds)

    @property
    def returncode(self) -> int | None:
        """How it ended, or None."""
        return self._process.poll() if self._process is not None else None


def http_status(port: int, path: str, seconds: float = 5.0) -> int | None:
    """The status that loopback `port` answers a GET with, or None for no answer."""
    door = http.client.HTTPConnection(LOOPBACK, port, timeout=seconds)
    try:
        door.request("GET", path)
        return door.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        door.close()
