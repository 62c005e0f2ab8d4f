"""A batch of one says in which slot its vote came, and nothing within the slot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.receipts.conftest import Office
from tests.receipts.reading import Reader, cast
from votepyramid.db import make_engine
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.service import RECEIPT_LOG, ElectionKeys
from votepyramid.logs import sequencer as sequencing
from votepyramid.logs.keeping import Keeping
from votepyramid.logs.slots import Slots
from votepyramid.logs.store import RECEIPTS
from votepyramid.receipts.entries import entries
from votepyramid.settings import Settings


class Clocked:
    """A sequencer with slots of 1000 seconds, stepped when it is that time."""

    def __init__(self, office: Office, reader: Reader) -> None:
        self.now = 10_000.0
        self.reader = reader
        self.engine = make_engine(office.engine.database.sequencer_url)
        self.sequencer = sequencing.Sequencer(
            self.engine,
            reader.door.election.keys,
            Keeping(office.folder),
            {RECEIPTS: sequencing.Source(RECEIPT_LOG, entries)},
            Settings(log_seconds=1000.0),
            clock=lambda: self.now,
        )

    def begin(self, at: float) -> None:
        """It has the turn, for the first time or again."""
        self.now = at
        self.sequencer.check()

    def sizes(self, *times: float) -> list[int]:
        """Of what is public after a step at each of these times."""
        found = []
        for self.now in times:
            self.sequencer.step()
            answer = self.reader.get("log/checkpoint")
            found.append(0 if answer.is_error else self.reader.checkpoint().size)
        return found


@pytest.fixture
def clocked(office: Office, reader: Reader) -> Iterator[Clocked]:
    made = Clocked(office, reader)
    with made.sequencer.turn.taken() as mine:
        assert mine
        yield made
    made.engine.dispose()


def test_batches_are_due_when_a_slot_of_the_clock_ends() -> None:
    now = [10_001.0]
    slots = Slots(1000, lambda: now[0])
    # One that starts does not say when it started.
    assert not slots.turn()
    for at, due in (
        (10_001.0, False),
        (10_999.9, False),
        (11_000.0, True),
        (11_000.1, False),
        (11_999.0, False),
        (13_500.0, True),
        (13_999.0, False),
        (14_000.0, True),
    ):
        now[0] = at
        assert slots.turn() is due, at
        assert now[0] + slots.left() == (at // 1000 + 1) * 1000


def test_a_sequencer_that_begins_within_a_slot_does_not_cut_it(
    clocked: Clocked,
) -> None:
    cast(clocked.reader, 0)
    clocked.begin(10_300)
    assert clocked.sizes(10_300, 10_999, 11_000) == [0, 0, 1]
    cast(clocked.reader, 1)
    # It lost its turn, and the slot ended meanwhile.
    clocked.begin(12_500)
    assert clocked.sizes(12_500, 12_999, 13_000) == [1, 1, 2]


def test_what_its_slot_left_comes_right_after_and_nothing_else(
    clocked: Clocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocked.begin(10_300)
    clocked.sizes(10_300)
    cast(clocked.reader, 0, 1)
    with monkeypatch.context() as small:
        small.setattr(sequencing, "TAKEN", 1)
        small.setattr(sequencing, "BATCH", 1)
        assert clocked.sizes(11_000, 11_001, 11_002) == [1, 2, 2]
    # Its last batch was full, and nothing was left.
    cast(clocked.reader, 2)
    assert clocked.sizes(11_003, 11_999, 12_000) == [2, 2, 3]


def test_a_slot_is_not_made_up_for_when_its_key_comes_back(
    clocked: Clocked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencing, "REST_S", 0.0)
    clocked.begin(10_300)
    clocked.sizes(10_300)
    cast(clocked.reader, 0)
    with monkeypatch.context() as away:
        # A key file of somebody else: for this election no key can be had.
        LocalKeyFile.create(tmp_path / "kek.json")
        ring = LocalKeyFile(tmp_path / "kek.json")
        away.setattr(clocked.sequencer, "_keys", ElectionKeys(ring, clocked.engine, 9))
        assert clocked.sizes(11_000, 11_001) == [0, 0]
    assert clocked.sizes(11_002, 11_999, 12_000) == [0, 0, 1]
