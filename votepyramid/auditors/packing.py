"""A sealed export as one tar file (POSIX.1-1988 ustar), made while it is read.

Nothing is copied and little is held in memory. Names are relative, below one folder;
there are no times and no owners. Its size is known before.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from votepyramid.auditors.folder import SUMS, FolderError

_BLOCK = 512
_CHUNK = 64 * 1024
# What a tar has besides its files: the head of their folder, and the end.
FRAME = 3 * _BLOCK


def size_of(length: int) -> int:
    """Bytes of the tar that a file of so many bytes takes."""
    return _BLOCK + length + -length % _BLOCK


def check(place: Path, sums: str) -> None:
    """That here is the export whose list of files has this SHA-256.

    Raises FolderError.
    """
    try:
        handle = os.open(place / SUMS, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FolderError(f"cannot read {place / SUMS}: {error.strerror}") from None
    if found != sums:
        raise FolderError(f"{place / SUMS} is not the list of this export")


def stream(place: Path, name: str) -> Iterator[bytes]:
    """The tar, piece by piece; `name` is the folder in it.

    Whoever writes the place is not trusted with what the reader may read: no link is
    followed. Raises FolderError, also in the middle.
    """
    yield _head(name, 0, folder=True)
    try:
        for below, folders, files, handle in os.fwalk(place, onerror=_raise):
            folders.sort()
            at = Path(name) / Path(below).relative_to(place)
            for file in sorted(files):
                yield from _file(handle, file, str(at / file))
    except OSError as error:
        raise FolderError(f"cannot read {place}: {error.strerror}") from None
    yield bytes(2 * _BLOCK)


def _file(folder: int, file: str, name: str) -> Iterator[bytes]:
    how = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(file, how, dir_fd=folder), "rb") as opened:
        about = os.fstat(opened.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise FolderError(f"{name} is not a file")
        yield _head(name, about.st_size)
        left = about.st_size
        while left:
            data = opened.read(min(_CHUNK, left))
            if not data:
                raise FolderError(f"{name} became shorter")
            left -= len(data)
            yield data
    yield bytes(-about.st_size % _BLOCK)


def _head(name: str, size: int, *, folder: bool = False) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o700 if folder else 0o600
    info.type = tarfile.DIRTYPE if folder else tarfile.REGTYPE
    try:
        return info.tobuf(tarfile.USTAR_FORMAT, "ascii")
    except ValueError:
        # Too long, or not ASCII: no export has such a name.
        raise FolderError("a file's name is none of an export") from None


def _raise(error: OSError) -> None:
    raise error
