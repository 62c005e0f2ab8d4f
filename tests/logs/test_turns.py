"""Sequencers that meet, are held up, lose their turn or are killed: no log forks."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from tests.logs.desk import Desk
from tests.logs.stopping import (
    APPENDING,
    COMMITTING,
    PUBLISHING,
    RECORDING,
    end_the_turn,
    stopping_at,
)
from tests.support.faults import holding, wait_until_blocked
from tests.support.processes import Running, eventually, stopping
from votepyramid.db import make_engine
from votepyramid.logs import store
from votepyramid.logs.store import RECEIPTS, Log, LogDamaged
from votepyramid.logs.turn import LogBusy

OURS = "NEW.kind = 'receipts'"
HEAD = "SELECT 1 FROM log_heads WHERE kind = 'receipts' FOR UPDATE"


@dataclass
class Appender:
    """A sequencer of receipts in a thread, which appends when it is told to."""

    desk: Desk
    name: str
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    told: threading.Event = field(default_factory=threading.Event)

    def begin(self) -> Future[int]:
        ready = threading.Event()
        done = self.thread.submit(self._run, ready)
        assert ready.wait(10)
        return done

    def append(self) -> None:
        """Tell it to; returns when it waits for the head."""
        self.told.set()
        wait_until_blocked(self.desk.election, program=self.name)

    def _run(self, ready: threading.Event) -> int:
        engine = make_engine(
            self.desk.database.sequencer_url,
            application_name=self.name,
            statement_timeout_ms=60_000,
            lock_timeout_ms=60_000,
        )
        try:
            sequencer = self.desk.sequencer(engine, RECEIPTS)
            with sequencer.turn.taken() as mine:
                assert mine
                sequencer.check()
                ready.set()
                assert self.told.wait(10)
                return sequencer.step(flush=True)
        finally:
            engine.dispose()


@pytest.mark.parametrize("first", ["who lost the turn", "who has it"])
def test_two_that_append_at_once(desk: Desk, first: str) -> None:
    """Both have read the same votes off the queue: one of them appends, once."""
    receipts = desk.booth.cast("v0", "v1", "v2")
    desk.sequence()
    before = desk.public()
    receipts += desk.booth.cast("v3", "v4")
    old, new = Appender(desk, "old"), Appender(desk, "new")
    lost = old.begin()
    end_the_turn(desk.database)
    has = new.begin()
    order = [old, new] if first == "who lost the turn" else [new, old]
    with holding(desk.database.owner_url, HEAD):
        for one in order:
            one.append()
    # Whoever was second finds that the queue is empty; and the first, that it was late.
    assert isinstance(lost.exception(30), LogBusy)
    if first == "who lost the turn":
        assert isinstance(has.exception(30), LogBusy)
        assert (desk.size(), desk.public()) == (5, before)
    else:
        assert has.result(30) > 0
    assert desk.sequence() == {}
    desk.whole(*receipts, earlier=before)


def test_a_head_that_is_old_is_not_appended_to(desk: Desk) -> None:
    receipts = desk.booth.cast("v0", "v1")
    desk.sequence()
    log = Log(desk.election.id, RECEIPTS)
    with desk.election.engine.connect() as connection:
        head = store.head(connection, log)
    assert head is not None
    receipts += desk.booth.cast("v2")
    desk.sequence()
    # By the index that is taken; and, for whom that would not stop, by the head.
    for entries, error in (([b"another"], IntegrityError), ([], LogDamaged)):
        with pytest.raises(error), desk.election.engine.begin() as connection:
            store.append(connection, log, head, entries)
    desk.whole(*receipts)


def test_who_lost_its_turn_keeps_and_shows_nothing(desk: Desk, tmp_path: Path) -> None:
    """Stopped between append and publish; another has gone on when it wakes."""
    receipts = desk.booth.cast("v0")
    desk.sequence()
    before = desk.public()
    old = desk.start(tmp_path / "old.log")
    new = desk.start(tmp_path / "new.log")
    with stopping(old, new), stopping_at(desk.database, COMMITTING, OURS) as stop:
        assert eventually(lambda: has_turn(old) or has_turn(new), 30)
        if has_turn(new):
            old, new = new, old
        receipts += desk.booth.cast("v1")
        stop.reached()
        with frozen(old.pid):
            stop.release()
            assert eventually(lambda: desk.size() == 2)
            end_the_turn(desk.database)
            assert eventually(lambda: has_turn(new), 30)
            receipts += desk.booth.cast("v2")
            assert eventually(lambda: desk.public().size == 3)
        old.wait_for_log("the connection that held the turn is gone")
        desk.whole(*receipts, earlier=before)
        receipts += desk.booth.cast("v3")
        assert eventually(lambda: desk.public().size == 4)
        assert (old.terminate(), new.terminate()) == (0, 0)
    desk.whole(*receipts, earlier=before)


def has_turn(sequencer: Running) -> bool:
    return '"sequencing"' in sequencer.log_text()


@contextmanager
def frozen(pid: int | None) -> Iterator[None]:
    """A process that does nothing meanwhile, and does not know it afterwards."""
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


KILLED = {
    "before the append": (APPENDING, 1, 1),
    "between append and keep": (None, 2, 1),
    "between keep and publish": (PUBLISHING, 2, 2),
}


@pytest.mark.parametrize("when", KILLED)
def test_a_killed_sequencer_leaves_a_log_that_goes_on(
    desk: Desk, when: str, tmp_path: Path
) -> None:
    receipts = desk.booth.cast("v0")
    desk.sequence()
    before = desk.public()
    where, appended, kept = KILLED[when]
    half = desk.file().with_suffix(".new")
    if where is None:
        # Opening it waits for somebody who reads.
        os.mkfifo(half)
    sequencer = desk.start(tmp_path / "one.log")
    at = stopping_at(desk.database, where, OURS) if where else nullcontext()
    with stopping(sequencer), at as stop:
        receipts += desk.booth.cast("v1")
        if stop is not None:
            stop.reached()
        assert eventually(lambda: desk.size() == appended)
        assert eventually(lambda: desk.kept().size == kept)
        sequencer.kill()
    if where is None:
        half.unlink()
        half.write_text("half of a checkp")
    assert (desk.size(), desk.kept().size) == (appended, kept)
    assert desk.public() == before
    # Without another vote, and with one.
    assert desk.sequence() == {}
    desk.whole(*receipts, earlier=before)
    receipts += desk.booth.cast("v2")
    assert desk.sequence() == {}
    desk.whole(*receipts, earlier=before)


def test_a_vote_that_began_early_and_came_late(desk: Desk) -> None:
    """Its queue number is lower than that of votes that are in the log already."""
    late = desk.booth.sealed("v0")
    slow = make_engine(
        desk.database.app_url, statement_timeout_ms=60_000, lock_timeout_ms=60_000
    )
    held = f"NEW.subject = '{late.receipt_hash}'"
    with ThreadPoolExecutor(1) as thread:
        with stopping_at(desk.database, RECORDING, held) as stop:
            recorded = thread.submit(desk.booth.record, late, slow)
            stop.reached()
            receipts = desk.booth.cast("v1", "v2")
            newest = desk.election.count("SELECT max(id) FROM log_queue")
            assert desk.sequence() == {}
            before = desk.public()
            desk.whole(*receipts)
        receipts.append(recorded.result(30))
    slow.dispose()
    waits = "SELECT id FROM log_queue WHERE subject = %s"
    assert desk.election.count(waits, late.receipt_hash) < newest
    assert desk.sequence() == {}
    desk.whole(*receipts, earlier=before)
