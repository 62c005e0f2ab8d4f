"""The newest checkpoints, kept in files outside the database.

A database can be set back to a backup; then it has forgotten what was public, and
would sign another history of the same size. These files do not go back with it: they
belong on another disk, and into no backup that is restored together with the database.
"""

from __future__ import annotations

import os
from pathlib import Path

from votepyramid.logs.store import Log

_SUFFIX = ".checkpoint"


class KeepingError(RuntimeError):
    """The folder cannot be used; the message says which and why."""


class Keeping:
    """A folder of checkpoints, one file a log. Raises KeepingError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise KeepingError(f"cannot use {folder}: {error.strerror}") from None

    def keep(self, log: Log, note: str) -> None:
        """Replace the file, and return when it is on the disk."""
        path = self._path(log)
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

    def read(self, log: Log) -> str | None:
        """The signed checkpoint that was kept of a log; None when none ever was."""
        path = self._path(log)
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise KeepingError(f"cannot read {path}: {error}") from None

    def logs(self) -> list[Log]:
        """Every log that something was kept of."""
        names = sorted(p.name for p in self._folder.glob(f"*{_SUFFIX}"))
        return [_log(name) for name in names]

    def _path(self, log: Log) -> Path:
        return self._folder / f"{log.election}.{log.kind}{_SUFFIX}"


def _log(name: str) -> Log:
    election, _, kind = name.removesuffix(_SUFFIX).rpartition(".")
    return Log(election, kind)
