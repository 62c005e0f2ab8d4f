"""The folder of the exports that are asked for, `exports_folder`: each by its id.

A worker writes, the administrators' pages read, perhaps as another user. While an
export is written it is closed to all but the worker; finished it is as open as the
folder is: where the folder's group may read, it may read the export.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from votepyramid.auditors import packing
from votepyramid.auditors.folder import SEAL, FolderError

# Reading and entering, of the group.
_SHARED = 0o050


class ExportsFolder:
    """Raises FolderError, with what to change."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def check(self) -> None:
        """That it is there and closed to others. It is never made: it may be a mount
        that is missing."""
        try:
            about = self.path.stat()
        except OSError as error:
            raise _unusable(self.path, error) from None
        if not stat.S_ISDIR(about.st_mode):
            raise FolderError(f"{self.path} is not a folder")
        if about.st_mode & 0o027:
            raise FolderError(
                f"{self.path} is open to others: chmod 700 it, or 750 where its group "
                "is to read exports"
            )

    @contextmanager
    def held(self, export: str) -> Iterator[Path]:
        """The place of an export, for one process at a time, on whatever host."""
        self.check()
        lock = self._lock(export)
        try:
            how = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            handle = os.open(lock, how, 0o600)
        except OSError as error:
            raise _unusable(lock, error) from None
        try:
            _hold(handle, lock)
            yield self.place(export)
        finally:
            # With the handle goes the lock, also of a process that is killed.
            os.close(handle)

    def place(self, export: str) -> Path:
        return self.path / export

    def reopen(self, export: str) -> None:
        """Let an export be gone on with that was sealed, and not noted as finished."""
        place = self.place(export)
        try:
            (place / SEAL).unlink(missing_ok=True)
            if place.exists():
                place.chmod(0o700)
        except OSError as error:
            raise _unusable(place, error) from None

    def share(self, export: str) -> int:
        """Open a sealed one as far as the folder is, and see it onto the disk.

        The bytes that its download has.
        """
        place, size = self.place(export), packing.FRAME
        try:
            about = self.path.stat()
            shared = about.st_mode & _SHARED == _SHARED
            group = about.st_gid if shared else -1
            for _, _, files, folder in os.fwalk(place, onerror=_raise):
                for name in files:
                    size += packing.size_of(os.stat(name, dir_fd=folder).st_size)
                    os.chown(name, -1, group, dir_fd=folder)
                    os.chmod(name, 0o640 if shared else 0o600, dir_fd=folder)
                os.fchown(folder, -1, group)
                os.fchmod(folder, 0o750 if shared else 0o700)
                os.fsync(folder)
        except OSError as error:
            raise _unusable(place, error) from None
        return size

    def remove(self, export: str) -> None:
        """Delete an export that is held."""
        place = self.place(export)
        try:
            if place.is_dir():
                shutil.rmtree(place)
            self._lock(export).unlink(missing_ok=True)
        except OSError as error:
            raise _unusable(place, error) from None

    def _lock(self, export: str) -> Path:
        return self.path / f"{export}.lock"


def _hold(handle: int, lock: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FolderError(
            "another attempt is still at this export; a process that hangs may have to "
            "be killed"
        ) from None
    except OSError as error:
        raise _unusable(lock, error) from None


def _unusable(path: Path, error: OSError) -> FolderError:
    return FolderError(f"cannot use {path}: {error.strerror}")


def _raise(error: OSError) -> None:
    raise error
