"""An export as files: written piece by piece, sealed by one signed list of hashes.

    SHA256SUMS      a line for every file, as `sha256sum -c` reads it
    export.note     a signed note (C2SP signed-note) under the election's statements key

    evote/export/v1\\n<origin>\\n<hex m>\\n<hex SHA-256 of SHA256SUMS>\\n

A file is there whole or not at all, so an export that was cut off is gone on with. Only
a sealed one can be verified, and one that is sealed is not written to any more. Files
have no times: they would tell the order in which histories came.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import os
import re
import secrets
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from votepyramid.protocol import notes

SUMS, SEAL, ELECTION = "SHA256SUMS", "export.note", "election.json"
POLICY, BALLOTS = "witness-policy", "ballots/"
MAX_SUMS_BYTES = 256 * 1024 * 1024
MAX_FILE_BYTES = 64 * 1024 * 1024
# 2,500 receipts of a file take 3 MB, ballots 16; a history of 64 votes half a megabyte.
MAX_UNPACKED = 256 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")
_LINE = re.compile(rf"([0-9a-f]{{64}})  ({_NAME.pattern})\n")
# What an export may hold: nothing lies in it that no check looks at.
_KNOWN = re.compile(
    r"election\.json|manifest\.json|statements/closing|witness-policy"
    r"|(?:receipt|audit)-log/(?:checkpoint|tile/.+)"
    r"|(?:receipts|ballots)/[0-9]{5}\.jsonl\.gz"
    r"|histories/[0-9a-f]{2}/[0-9a-f]{32}(?:\.running)?\.json\.gz"
)
_PART = ".part"


class FolderError(Exception):
    """An export's folder cannot be used, or is not what its list says."""


class OutsideError(FolderError):
    """What the auditor brought cannot be used."""


@dataclass(frozen=True)
class Sealed:
    """How many files an export has, and the SHA-256 of their list, as hex."""

    files: int
    sums: str


class Writing:
    """A folder that an election's export is written to. Raises FolderError.

    Nobody else may look into it: histories tell who could link what.
    """

    def __init__(self, path: Path, election: str) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_open = stat.S_IMODE(path.stat().st_mode) & 0o077
            names = [name for name in _names(path) if not name.endswith(_PART)]
        except OSError as error:
            raise FolderError(f"cannot use {path}: {error.strerror}") from None
        if is_open:
            raise FolderError(f"{path} is open to others: chmod 700 it")
        if SEAL in names:
            raise FolderError(
                f"{path} holds a finished export: name another folder, or remove it"
            )
        if names and _election_of(path / ELECTION) != election:
            raise FolderError(
                f"{path} is not empty, and holds no export of {election!r}: name "
                "another folder"
            )

    def has(self, name: str) -> bool:
        """Whether this file was written already."""
        return (self.path / name).exists()

    def read(self, name: str) -> bytes:
        """What was written before."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise FolderError(f"cannot read {name}: {error.strerror}") from None

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all, also when the power fails."""
        place = self.path / name
        half = place.with_name(f".{secrets.token_hex(8)}{_PART}")
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
            os.utime(half, (0, 0))
            half.replace(place)
        except OSError as error:
            raise FolderError(f"cannot write {place}: {error.strerror}") from None

    def keep_only(self, prefix: str, names: set[str]) -> None:
        """Remove what an earlier attempt wrote below `prefix` and this one did not."""
        for name in list(_names(self.path)):
            if name.startswith(prefix) and name not in names:
                (self.path / name).unlink()

    def seal(self, origin: str, m: bytes, signer: notes.Signer) -> Sealed:
        """Sign the list of all files."""
        for part in self.path.rglob(f".*{_PART}"):
            part.unlink()
        names = sorted(set(_names(self.path)) - {SUMS, SEAL})
        lines = [f"{_digest(self.path / name)}  {name}\n" for name in names]
        sums = "".join(lines).encode()
        self.write(SUMS, sums)
        self.write(SEAL, notes.sign(_text(origin, m, sums), signer).encode())
        return Sealed(len(names), hashlib.sha256(sums).hexdigest())


class Reading:
    """A sealed export, as somebody who trusts nothing reads it.

    Every file is read through the list, and refused when its bytes are others. Raises
    FolderError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._note = self._bytes(SEAL, notes.MAX_NOTE_BYTES)
        self._sums = self._bytes(SUMS, MAX_SUMS_BYTES)
        self.listed = _lines(self._sums)

    def check_seal(self, origin: str, m: bytes, key: notes.VerifierKey) -> None:
        """That this key signed the list. Raises FolderError."""
        try:
            text = notes.open(self._note.decode("utf-8", "replace"), key).text
        except notes.NoteError as error:
            raise FolderError(f"{SEAL}: {error.problem}") from None
        if text != _text(origin, m, self._sums):
            raise FolderError(f"{SEAL} was signed for another {SUMS}")

    def check_files(self) -> None:
        """That exactly the files of the list are there, each as it says."""
        there = set(_names(self.path)) - {SUMS, SEAL}
        for name in sorted(self.listed.keys() ^ there):
            how = "is missing" if name in self.listed else f"is not in {SUMS}"
            raise FolderError(f"{name} {how}")
        for name in self.listed:
            if not _KNOWN.fullmatch(name):
                raise FolderError(f"{name} is no file of an export")
            self.read(name)

    def has(self, name: str) -> bool:
        return name in self.listed

    def names(self, prefix: str) -> list[str]:
        """The files below a prefix, in order."""
        return sorted(name for name in self.listed if name.startswith(prefix))

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        """A file's bytes, which are those of the list."""
        if name not in self.listed:
            raise FolderError(f"{name} is missing")
        data = self._bytes(name, limit)
        if hashlib.sha256(data).hexdigest() != self.listed[name]:
            raise FolderError(f"{name} is not what {SUMS} says")
        return data

    def unpack(self, name: str) -> bytes:
        """A gzip file's content, of bounded size."""
        try:
            with gzip.open(io.BytesIO(self.read(name))) as file:
                data = file.read(MAX_UNPACKED + 1)
        except (OSError, EOFError, ValueError, zlib.error):
            raise FolderError(f"{name} is not gzip") from None
        if len(data) > MAX_UNPACKED:
            raise FolderError(f"{name} unpacks to more than {MAX_UNPACKED} bytes")
        return data

    def part(self, names: list[str]) -> Reading:
        """The same export with some of its files, to be handed to another process."""
        part = copy.copy(self)
        part._sums, part.listed = b"", {name: self.listed[name] for name in names}
        return part

    def _bytes(self, name: str, limit: int) -> bytes:
        return read_file(self.path / name, limit, name)


def read_file(path: Path, limit: int, name: str) -> bytes:
    """A regular file's bytes, no more than `limit`. Raises FolderError."""
    try:
        # Not waiting for what is a pipe, not following what is a link.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise FolderError(f"{name} is not a file")
            data = file.read(limit + 1)
    except OSError as error:
        raise FolderError(f"cannot read {name}: {error.strerror}") from None
    if len(data) > limit:
        raise FolderError(f"{name} is longer than {limit} bytes")
    return data


def _text(origin: str, m: bytes, sums: bytes) -> str:
    digest = hashlib.sha256(sums).hexdigest()
    return f"evote/export/v1\n{origin}\n{m.hex()}\n{digest}\n"


def _names(folder: Path) -> Iterator[str]:
    """Everything below the folder but real folders, as the list writes it."""
    for below, folders, files in os.walk(folder):
        links = [name for name in folders if Path(below, name).is_symlink()]
        for name in (*files, *links):
            yield PurePosixPath(Path(below, name).relative_to(folder)).as_posix()


def _lines(sums: bytes) -> dict[str, str]:
    listed: dict[str, str] = {}
    for line in sums.decode("utf-8", "replace").splitlines(keepends=True):
        found = _LINE.fullmatch(line)
        if found is None or found[2] in listed:
            raise FolderError(f"{SUMS} has a malformed line, or one twice")
        listed[found[2]] = found[1]
    return listed


def _election_of(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_bytes())["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
