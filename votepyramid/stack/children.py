"""Child processes that never outlive us unseen.

A child gets its own process group, so that Ctrl-C reaches only the supervisor, who
then stops everything in order. On Linux the kernel also signals a child whose
supervisor was killed; elsewhere, and for children that ignore it, the record written
beside the log lets the next start find and stop what was left behind.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from votepyramid.stack.errors import StackError

Signals = Sequence[tuple[signal.Signals, float]]

# To be asked to end, and then made to.
STOP_SIGNALS: Signals = ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0))

_PR_SET_PDEATHSIG = 1
# Looked up before any fork: the child may not import or allocate much.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def _die_with(parent: int, death_signal: int) -> Callable[[], None]:
    def in_child() -> None:
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            # The supervisor may have died between the fork and the line above.
            if os.getppid() != parent:
                os._exit(1)

    return in_child


class Interrupted(Exception):
    """The supervisor was told to stop while it waited for something."""


# Set by the supervisor's signal handler. An exception raised by the handler itself
# could strike between the start of a child and the note of who it is.
stop_asked = threading.Event()


@dataclass(frozen=True)
class Account:
    """An operating-system account that a child runs as."""

    name: str
    uid: int
    gid: int


def spawn(
    command: Sequence[str | os.PathLike[str]],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    account: Account | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    record: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` with its output appended to `log`.

    To be called on a thread that lives as long as the child shall: Linux sends
    `death_signal` when the thread that forked is gone. `record` is a file to note the
    child in, for a later start to find it.
    """
    as_account: dict[str, object] = {}
    if account is not None:
        as_account = {"user": account.uid, "group": account.gid, "extra_groups": []}
    with open(log, "ab") as output:
        process: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
            [os.fspath(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            process_group=0,
            # After the change of account, which would clear the setting.
            preexec_fn=_die_with(os.getpid(), death_signal),  # noqa: PLW1509
            **as_account,
        )
    if record is not None:
        _note(record, process.pid)
    return process


def environment_without(*beginnings: str, kept: Collection[str] = ()) -> dict[str, str]:
    """This process's environment, but for names that begin so and are not `kept`."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or not name.startswith(beginnings)
    }


def stop(
    process: subprocess.Popen[bytes] | psutil.Process,
    signals: Signals = STOP_SIGNALS,
) -> bool:
    """Send each signal in turn and wait its seconds; False if it had to be killed."""
    for number, seconds in signals:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            return True
        if _ends(process, seconds):
            return number is not signal.SIGKILL
    return False


def _ends(process: subprocess.Popen[bytes] | psutil.Process, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not _ended(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _ended(process: subprocess.Popen[bytes] | psutil.Process) -> bool:
    if isinstance(process, subprocess.Popen):
        return process.poll() is not None
    try:
        # Where nobody reaps orphans (a container without an init) they stay zombies.
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _note(record: Path, pid: int) -> None:
    who = {"pid": pid, "created": psutil.Process(pid).create_time()}
    record.write_text(json.dumps(who))


def recorded(path: Path) -> psutil.Process | None:
    """The still running process that `path` names, or None.

    A process id is used again after a while; the creation time tells them apart.
    """
    try:
        record = json.loads(path.read_text())
        process = psutil.Process(record["pid"])
        if abs(process.create_time() - record["created"]) > 0.1:
            return None
        return process if process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
        return None


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, for an error message."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def wait_until(
    ready: Callable[[], bool],
    *,
    seconds: float,
    alive: Callable[[], bool] = lambda: True,
    pause: float = 0.05,
) -> bool:
    """Ask `ready` until it says yes; False when time is up or `alive` says no.

    What has ended is not ready, whoever else answers in its place.

    Raises:
        Interrupted: `stop_asked` was set meanwhile.
    """
    deadline = time.monotonic() + seconds
    while True:
        if stop_asked.is_set():
            raise Interrupted
        if ready() and alive():
            return True
        if not alive() or time.monotonic() > deadline:
            return False
        time.sleep(pause)


class Child:
    """A part that is one child process at a time; after a crash it may start again.

    Its output is appended to `log`; `record` is as `spawn` has it, and goes when the
    child is stopped.
    """

    stop_signals: Signals = STOP_SIGNALS

    def __init__(self, log: Path, record: Path | None = None) -> None:
        self.log = log
        self._record = record
        self._process: subprocess.Popen[bytes] | None = None

    def stop(self) -> bool:
        """Ask it to end, then kill it; True when it ended by itself."""
        if self._process is None:
            return True
        orderly = stop(self._process, self.stop_signals)
        self._process = None
        if self._record is not None:
            self._record.unlink(missing_ok=True)
        return orderly

    def alive(self) -> bool:
        """True while our child runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process id, from its start until it is stopped."""
        return self._process.pid if self._process is not None else None

    def _spawn(self, command: Sequence[str | os.PathLike[str]], **options: Any) -> None:
        """Start it, with the options of `spawn`."""
        self._process = spawn(command, log=self.log, record=self._record, **options)

    def _wait_ready(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until it is; else stop it and raise StackError with its last words."""
        if not wait_until(ready, seconds=seconds, alive=self.alive):
            self.stop()
            raise StackError(f"{name} did not start:\n{tail(self.log)}")
