"""Reading a roster file: CSV in UTF-8, strictly, every bad line named by number.

The header names the columns in any order: `voter_id`, `precinct` and exactly the
attributes that the manifest declares. No value is trimmed or guessed: what a
spreadsheet has mangled must not decide who may vote.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from votepyramid.eligibility.voter_ids import VOTER_ID_PATTERN, is_voter_id

NAMED_LINES = 20
MAX_LINE_BYTES = 64 * 1024
MAX_TEXT = 256
MAX_LONG = 2**53 - 1
_BOM = b"\xef\xbb\xbf"
_LONG = re.compile(r"0|-?[1-9][0-9]{0,15}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

Value = bool | int | str


@dataclass(frozen=True)
class LineProblem:
    """What is wrong with one line; lines count from 1, the header's number."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


class RosterInvalid(ValueError):
    """A file is no roster. `problems` are the first NAMED_LINES of `count`."""

    def __init__(self, problems: list[LineProblem], count: int) -> None:
        more = f"; and {count - len(problems)} more" if count > len(problems) else ""
        super().__init__("; ".join(map(str, problems)) + more)
        self.problems = problems
        self.count = count


class _BadLine(ValueError):
    """Why one line cannot be taken."""


@dataclass(frozen=True)
class RosterLine:
    """One voter of the file; `attributes` by their declared types."""

    voter_id: str
    precinct: str
    attributes: dict[str, Value]


@dataclass
class RosterReader:
    """Reads one file, line by line; afterwards `sha256` and `voters` describe it.

    `attributes` are the manifest's, by name and Cedar type; `precincts` those that
    some ballot style has. `progress` is told the bytes of each line.
    """

    attributes: Mapping[str, str]
    precincts: frozenset[str]
    progress: Callable[[int], None] | None = None
    voters: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)
    _problems: list[LineProblem] = field(default_factory=list)
    _count: int = 0
    _seen: dict[str, int] = field(default_factory=dict)

    @property
    def sha256(self) -> bytes:
        """The digest of the whole file, once read."""
        digest: bytes = self._digest.digest()
        return digest

    def read(self, file: BinaryIO) -> Iterator[RosterLine]:
        """Yield the good lines; after the last, raise RosterInvalid for the others.

        So a caller may write while reading, and must throw that away when this
        raises. A header that cannot be used raises at once.
        """
        lines = enumerate(self._bytes(file), start=1)
        header = self._header(next(lines, (1, b""))[1])
        for number, line in lines:
            try:
                yield self._line(number, header, _split(line))
                self.voters += 1
            except _BadLine as bad:
                self._note(number, str(bad))
        if not self._count and not self.voters:
            self._note(1, "no voter follows the header")
        self._raise()

    def _bytes(self, file: BinaryIO) -> Iterator[bytes]:
        at_start = True
        while line := file.readline(MAX_LINE_BYTES):
            self._digest.update(line)
            if self.progress:
                self.progress(len(line))
            if at_start:
                yield line
            # The rest of an overlong line is read, but is no line of its own.
            at_start = line.endswith(b"\n")

    def _header(self, line: bytes) -> list[str]:
        try:
            columns = _split(line.removeprefix(_BOM))
        except _BadLine as bad:
            self._note(1, str(bad))
            self._raise()
        wanted = {"voter_id", "precinct", *self.attributes}
        for name in sorted(wanted - set(columns)):
            self._note(1, f"the header has no column {name!r}")
        for name in sorted(set(columns) - wanted):
            self._note(
                1, f"column {name!r} is not declared in the manifest's eligibility"
            )
        for name in sorted(n for n in wanted if columns.count(n) > 1):
            self._note(1, f"column {name!r} is there twice")
        self._raise()
        return columns

    def _line(self, number: int, header: list[str], fields: list[str]) -> RosterLine:
        if len(fields) != len(header):
            raise _BadLine(f"has {len(fields)} fields, the header {len(header)}")
        row = dict(zip(header, fields, strict=True))
        voter_id, precinct = row["voter_id"], row["precinct"]
        if not is_voter_id(voter_id):
            raise _BadLine(f"voter_id does not match {VOTER_ID_PATTERN}")
        if voter_id in self._seen:
            raise _BadLine(f"voter_id was on line {self._seen[voter_id]} already")
        self._seen[voter_id] = number
        if precinct not in self.precincts:
            raise _BadLine(f"precinct {precinct[:80]!r} is in no ballot style")
        attributes = {
            name: _value(name, kind, row[name])
            for name, kind in self.attributes.items()
        }
        return RosterLine(voter_id, precinct, attributes)

    def _note(self, line: int, message: str) -> None:
        self._count += 1
        if len(self._problems) < NAMED_LINES:
            self._problems.append(LineProblem(line, message))

    def _raise(self) -> None:
        if self._count:
            raise RosterInvalid(self._problems, self._count)


def _split(line: bytes) -> list[str]:
    """The fields of one line. Each line by itself: an open quote spoils no other."""
    if len(line) >= MAX_LINE_BYTES:
        raise _BadLine(f"is longer than {MAX_LINE_BYTES} bytes")
    try:
        text = line.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise _BadLine("is not UTF-8") from None
    if not text:
        raise _BadLine("is blank")
    if _CONTROL.search(text):
        raise _BadLine("holds a control character")
    return _fields([text])


def _fields(lines: Iterable[str]) -> list[str]:
    try:
        fields = next(csv.reader(lines, strict=True))
    except csv.Error:
        raise _BadLine("has a quote that is not closed or out of place") from None
    for value in fields:
        if not value:
            raise _BadLine("has a blank field")
        if value != value.strip():
            raise _BadLine("has a field with space around it")
    return fields


def _value(name: str, kind: str, text: str) -> Value:
    if kind == "Bool":
        if text not in ("true", "false"):
            raise _BadLine(f"{name} is neither true nor false")
        return text == "true"
    if kind == "Long":
        if not _LONG.fullmatch(text) or abs(int(text)) > MAX_LONG:
            raise _BadLine(f"{name} is not a whole number within 2**53")
        return int(text)
    if len(text) > MAX_TEXT:
        raise _BadLine(f"{name} is longer than {MAX_TEXT} characters")
    return text
