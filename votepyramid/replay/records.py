"""Cast vote records from a file: `precinct,rank1,…,rankN,ballots`, one row a count.

A rank holds a choice's name in any script, `undervote` for an empty rank, or
`overvote` where a voter marked more than one choice (which ones the record does not
say). Names are taken as they stand; what could be read in two ways is refused.
"""

from __future__ import annotations

import csv
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

UNDERVOTE = "undervote"
OVERVOTE = "overvote"
MAX_RANKS = 64
MAX_CHOICES = 1000
MAX_BALLOTS = 10_000_000
MAX_NAME = 128
_REFUSED = ("Cc", "Cs", "Zl", "Zp")
_COUNT = re.compile(r"[1-9][0-9]{0,7}")


class RecordsError(ValueError):
    """The file is not what it should be; the message names file and line.

    `line` is None for what concerns the file as a whole.
    """

    def __init__(self, file: str, line: int | None, problem: str) -> None:
        where = file if line is None else f"{file}, line {line}"
        super().__init__(f"{where}: {problem}")
        self.line = line
        self.problem = problem


@dataclass(frozen=True)
class Row:
    """So many ballots of one precinct with these ranks."""

    precinct: str
    ranks: tuple[str, ...]
    ballots: int


@dataclass(frozen=True)
class Records:
    """A whole file. `names` are the choices, sorted; `precincts` likewise."""

    ranks: int
    names: tuple[str, ...]
    precincts: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def ballots(self) -> int:
        return sum(row.ballots for row in self.rows)


def read(path: Path) -> Records:
    """The records in a UTF-8 file. Raises RecordsError or OSError."""
    with path.open(encoding="utf-8-sig", errors="strict", newline="") as file:
        return parse(file, path.name)


def parse(lines: Iterable[str], file: str) -> Records:
    """The records in a file's lines. Raises RecordsError."""
    numbered = _fields(lines, file)
    line: int | None = 1
    rows = []
    try:
        ranks = _ranks(next(numbered, (1, []))[1])
        for number, fields in numbered:
            line = number
            rows.append(_row(fields, ranks))
        line = None
        return _whole(ranks, rows)
    except RecordsError:
        raise
    except ValueError as error:
        raise RecordsError(file, line, str(error)) from None


def _fields(lines: Iterable[str], file: str) -> Iterator[tuple[int, list[str]]]:
    """Each record's fields with the number of its last line."""
    reader = csv.reader(lines, strict=True)
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except UnicodeDecodeError:
            raise RecordsError(file, reader.line_num + 1, "not UTF-8") from None
        except csv.Error as error:
            raise RecordsError(file, max(1, reader.line_num), str(error)) from None
        yield reader.line_num, fields


def _ranks(header: list[str]) -> int:
    ranks = len(header) - 2
    named = [f"rank{number}" for number in range(1, ranks + 1)]
    if ranks < 1 or header != ["precinct", *named, "ballots"]:
        raise ValueError("the header must be precinct,rank1,...,rankN,ballots")
    if ranks > MAX_RANKS:
        raise ValueError(f"more than {MAX_RANKS} ranks")
    return ranks


def _row(fields: list[str], ranks: int) -> Row:
    if len(fields) != ranks + 2:
        raise ValueError(f"{len(fields)} fields where the header has {ranks + 2}")
    precinct, *names, count = fields
    for text in (precinct, *names):
        _check_text(text)
    if not _COUNT.fullmatch(count):
        raise ValueError("ballots must be a whole number from 1, without zeros before")
    return Row(precinct, tuple(names), int(count))


def _check_text(text: str) -> None:
    if not text:
        raise ValueError("an empty field; an empty rank is written undervote")
    if text != text.strip():
        raise ValueError(f"space around {text.strip()!r}")
    if len(text) > MAX_NAME:
        raise ValueError(f"a name longer than {MAX_NAME} characters")
    # Control characters, lone surrogates, line and paragraph separators.
    if any(unicodedata.category(char) in _REFUSED for char in text):
        raise ValueError("a name holds a control character")


def _whole(ranks: int, rows: list[Row]) -> Records:
    if not rows:
        raise ValueError("no ballots")
    if sum(row.ballots for row in rows) > MAX_BALLOTS:
        raise ValueError(f"more than {MAX_BALLOTS} ballots")
    marks = set(itertools.chain.from_iterable(row.ranks for row in rows))
    names = marks - {UNDERVOTE, OVERVOTE}
    if not names:
        raise ValueError("no rank names a choice")
    if len(names) > MAX_CHOICES:
        raise ValueError(f"more than {MAX_CHOICES} choices")
    if OVERVOTE in marks and len(names) < 2:
        raise ValueError("an overvote needs two choices, and the file names one")
    precincts = {row.precinct for row in rows}
    for group in (names, precincts):
        _check_distinct(group)
    return Records(ranks, tuple(sorted(names)), tuple(sorted(precincts)), tuple(rows))


def _check_distinct(names: set[str]) -> None:
    seen: dict[str, str] = {}
    for name in sorted(names):
        other = seen.setdefault(unicodedata.normalize("NFC", name), name)
        if other != name:
            raise ValueError(
                f"{name!r} is spelled with different code points in two places"
            )
