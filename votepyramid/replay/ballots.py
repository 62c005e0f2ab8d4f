"""From a record's ranks to a voter's selections, and back from an opened ballot.

The election that a file describes has one contest, and one ballot style for each
precinct: so the opened ballots can be compared with the file row by row.
"""

from __future__ import annotations

import random
from array import array
from collections import Counter
from typing import Any

from votepyramid.protocol.ballot import Selections
from votepyramid.protocol.encoding import jcs
from votepyramid.replay.records import OVERVOTE, UNDERVOTE, Records

CONTEST = "contest"
# A count's key: the precinct and what stands at each rank.
Cast = tuple[str, tuple[str, ...]]


class Ballots:
    """Every ballot of a file, one voter each, in an order that nobody can guess.

    A voter is a number from 0; which row is whose is known in this process only.
    `limit` takes that many ballots at random. With a `seed` the order is the same
    every time, and known to whoever knows file and seed.
    """

    def __init__(
        self, records: Records, *, limit: int | None = None, seed: int | None = None
    ) -> None:
        self.records = records
        self.random: random.Random = (
            random.SystemRandom() if seed is None else random.Random(seed)
        )
        self._rows = array("L")
        for index, row in enumerate(records.rows):
            self._rows.extend([index] * row.ballots)
        self.random.shuffle(self._rows)
        if limit is not None:
            del self._rows[limit:]
        self._ids = {name: f"c{at}" for at, name in enumerate(records.names, 1)}
        self._names = {choice: name for name, choice in self._ids.items()}
        numbered = enumerate(records.precincts, 1)
        self._styles = {precinct: f"s{number}" for number, precinct in numbered}
        self._precincts = {style: name for name, style in self._styles.items()}

    def __len__(self) -> int:
        return len(self._rows)

    def voter_id(self, voter: int) -> str:
        return f"voter-{voter + 1:07d}"

    def precinct(self, voter: int) -> str:
        return self.records.rows[self._rows[voter]].precinct

    def style(self, voter: int) -> str:
        return self._styles[self.precinct(voter)]

    def selections(self, voter: int) -> Selections:
        """What this voter marks: all choices where the file says overvote."""
        ranks = self.records.rows[self._rows[voter]].ranks
        return {CONTEST: [self._marks(text) for text in ranks]}

    def cast(self, style: str, selections: Selections) -> Cast:
        """An opened ballot as the file would record it."""
        return self._precincts[style], tuple(
            self._text(marks) for marks in selections[CONTEST]
        )

    def expected(self) -> Counter[Cast]:
        """How often each ballot has to come out."""
        rows = self.records.rows
        return Counter((rows[i].precinct, rows[i].ranks) for i in self._rows)

    def shuffled(self) -> array[int]:
        """All voters in a new random order."""
        order = array("L", range(len(self)))
        self.random.shuffle(order)
        return order

    def contest(self, title: str) -> dict[str, Any]:
        """The manifest's contest."""
        choices = [{"id": self._ids[name], "name": name} for name in self.records.names]
        return {
            "id": CONTEST,
            "title": title,
            "ranks": self.records.ranks,
            "choices": choices,
        }

    def styles(self) -> list[dict[str, Any]]:
        """The manifest's ballot styles, one a precinct, all of one length."""
        fullest = {CONTEST: [list(self._ids.values())] * self.records.ranks}
        # One byte of padding at least, and up to the next 64.
        length = (len(jcs(fullest)) // 64 + 1) * 64
        return [
            {
                "id": style,
                "contests": [CONTEST],
                "precincts": [precinct],
                "plaintext_length": length,
            }
            for precinct, style in self._styles.items()
        ]

    def _marks(self, text: str) -> list[str]:
        if text == UNDERVOTE:
            return []
        return list(self._names) if text == OVERVOTE else [self._ids[text]]

    def _text(self, marks: list[str]) -> str:
        if not marks:
            return UNDERVOTE
        return OVERVOTE if len(marks) > 1 else self._names[marks[0]]
