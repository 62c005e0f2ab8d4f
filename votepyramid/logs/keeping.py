"""The newest checkpoints, kept in files outside the database.

A database can be set back to a backup; then it has forgotten what was public, and
would sign another history of the same size. These files do not go back with it: they
belong on another disk, and into no backup that is restored together with the database.

Nor do they go back by themselves: a checkpoint gives way to a larger one alone. So a
sequencer that was held up cannot put back what another one has replaced meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from votepyramid.logs.store import Log
from votepyramid.protocol.checkpoint import read_unverified
from votepyramid.protocol.encoding import ProtocolError

_SUFFIX = ".checkpoint"
_STOPPED = ".stopped"
_LOCK = ".lock"
# Replacing a file takes milliseconds. Whoever holds the lock for longer was stopped.
LOCK_TIMEOUT_S = 5.0
_PAUSE_S = 0.01


class KeepingError(RuntimeError):
    """The folder cannot be used; the message says which and why."""


class KeptNewer(KeepingError):
    """What is kept is not older than what was to take its place: somebody went on."""


class Keeping:
    """A folder of checkpoints, one file a log. Raises KeepingError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise KeepingError(f"cannot use {folder}: {error.strerror}") from None

    def keep(self, log: Log, note: str) -> None:
        """Replace the file, and return when it is on the disk. Raises KeptNewer."""
        with self._locked():
            self.check(log, note)
            self._write(self._path(log), note)

    def check(self, log: Log, note: str) -> None:
        """Raise KeptNewer unless a checkpoint is larger than what is kept, or the same.

        Sizes and roots are compared; signatures are for who reads them.
        """
        before = self.read(log)
        if before is None:
            return
        try:
            old, new = read_unverified(before), read_unverified(note)
        except ProtocolError as error:
            raise KeptNewer(
                f"{self._path(log)} is not replaced: {error.problem}"
            ) from None
        if old.size > new.size or (old.size == new.size and old.root != new.root):
            raise KeptNewer(
                f"{self._path(log)} has a checkpoint of {old.size}, and another one of "
                f"{new.size} does not take its place"
            )

    def _write(self, path: Path, note: str) -> None:
        half = path.with_suffix(".new")
        try:
            with half.open("w", encoding="utf-8") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            half.replace(path)
            handle = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise KeepingError(f"cannot write {path}: {error.strerror}") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time, of all processes on all hosts that share the folder."""
        path = self._folder / _LOCK
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise KeepingError(f"cannot write {path}: {error.strerror}") from None
        try:
            _lock(handle, path)
            yield
        finally:
            # With the handle goes the lock, also of a process that is killed.
            os.close(handle)

    def read(self, log: Log) -> str | None:
        """The signed checkpoint that was kept of a log; None when none ever was."""
        path = self._path(log)
        try:
            # What is no text is refused by who reads it, as what it is: no checkpoint.
            return path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeepingError(f"cannot read {path}: {error.strerror}") from None

    def logs(self) -> list[Log]:
        """Every log that something was kept of."""
        names = sorted(p.name for p in self._folder.glob(f"*{_SUFFIX}"))
        return [_log(name) for name in names]

    def set_aside(self, log: Log, reason: str) -> None:
        """Say beside the checkpoint why the log is not continued, for operators."""
        path = self._path(log).with_suffix(_STOPPED)
        try:
            path.write_text(f"{reason}\n", encoding="utf-8")
        except OSError as error:
            raise KeepingError(f"cannot write {path}: {error.strerror}") from None

    def go_on(self) -> None:
        """Forget which logs were set aside: they are about to be looked at again."""
        try:
            for path in self._folder.glob(f"*{_STOPPED}"):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise KeepingError(f"cannot use {self._folder}: {error.strerror}") from None

    def _path(self, log: Log) -> Path:
        return self._folder / f"{log.election}.{log.kind}{_SUFFIX}"


def _lock(handle: int, path: Path) -> None:
    until = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise KeepingError(
                    f"another process has held {path} for {LOCK_TIMEOUT_S:.0f} s"
                ) from None
            time.sleep(_PAUSE_S)
        except OSError as error:
            raise KeepingError(f"cannot lock {path}: {error.strerror}") from None
        else:
            return


def stopped(folder: Path) -> dict[Log, str]:
    """The logs that the sequencer of this folder set aside, and why."""
    try:
        return {
            _log(path.name): path.read_text(encoding="utf-8", errors="replace").strip()
            for path in sorted(folder.glob(f"*{_STOPPED}"))
        }
    except OSError as error:
        raise KeepingError(f"cannot read {folder}: {error.strerror}") from None


def _log(name: str) -> Log:
    election, _, kind = name.rpartition(".")[0].rpartition(".")
    return Log(election, kind)
