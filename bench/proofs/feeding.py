"""Casts as they come: votes and their events at a steady rate, beside the sequencer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import quantiles

from bench import election, votes
from bench.place import Place
from bench.proofs.watching import Watch, watching
from votepyramid.logs.store import AUDIT, RECEIPTS
from votepyramid.stack import children
from votepyramid.stack.errors import StackError

# As many votes as a group has at most, and how long a gateway gathers at least.
GROUP, TICK_S = 64, 0.02
SETTLE_S = 60.0
# Which entry is whose: of votes by their leaf hash, of events by what they name.
_PLACES = {
    RECEIPTS: "SELECT encode(leaf_hash, 'hex'), index FROM log_entries "
    "WHERE election = %s AND kind = 'receipts' AND index >= %s",
    AUDIT: "SELECT convert_from(entry, 'UTF8')::jsonb ->> 'subject', index "
    "FROM log_entries WHERE election = %s AND kind = 'audit' AND index >= %s",
}


@dataclass(frozen=True)
class Fed:
    """What came of it. Rates a second; waits from commit to checkpoint in seconds.

    `public` is the rate from the first commit until all leaves were public, while casts
    came at `offered`.
    """

    number: int
    offered: float
    public: float
    waits: dict[str, list[float]]

    def percentile(self, kind: str, percent: int) -> float:
        """Of the waits, in seconds."""
        return quantiles(self.waits[kind], n=100)[percent - 1]


def feed(place: Place, first: int, number: int, rate: float, slot_s: float) -> Fed:
    """Cast staged votes from `first` on, `rate` a second, while a sequencer runs."""
    settings = {"log_seconds": str(slot_s), "log_leaves": "100000"}
    sequencer = place.sequencer(**settings)
    sequencer.start()
    try:
        with watching(place.stack.postgres.owner_url) as watch:
            warm = _warm_up(place, watch, first)
            sizes = {kind: watch.size(kind) for kind in _PLACES}
            committed = _cast(place, first + warm, first + number, rate)
            _settle(watch, sizes, number - warm)
    finally:
        sequencer.stop()
    times = list(committed.values())
    done = watch.public_at(RECEIPTS, sizes[RECEIPTS] + len(times) - 1)
    return Fed(
        len(times),
        len(times) / (times[-1] - times[0]),
        len(times) / (done - times[0]),
        {kind: _waits(place, watch, kind, sizes[kind], committed) for kind in sizes},
    )


def _warm_up(place: Place, watch: Watch, first: int) -> int:
    """Until something became public: a process that starts is not a steady one."""
    before = {kind: watch.size(kind) for kind in _PLACES}
    with place.owner() as db:
        votes.cast(db, election.ID, first, first + GROUP)
    _settle(watch, before, GROUP)
    return GROUP


def _cast(place: Place, first: int, end: int, rate: float) -> dict[str, float]:
    """When each vote was committed (monotonic), by its receipt hash."""
    at, committed = first, list[tuple[int, float]]()
    with place.owner() as db:
        began = time.monotonic()
        while at < end:
            due = min(end, first + int((time.monotonic() - began) * rate) + 1)
            while at < due:
                upto = min(due, at + GROUP)
                votes.cast(db, election.ID, at, upto)
                committed.append((upto, time.monotonic()))
                at = upto
            tick = began + (at - first) / rate + TICK_S
            time.sleep(max(0.0, tick - time.monotonic()))
        names = db.execute(
            "SELECT receipt_hash FROM staged WHERE number >= %s AND number < %s "
            "ORDER BY number",
            (first, end),
        ).fetchall()
    found: dict[str, float] = {}
    for upto, when in committed:
        for number in range(first + len(found), upto):
            found[names[number - first][0]] = when
    return found


def _settle(watch: Watch, before: dict[str, int], more: int) -> None:
    """Until so many entries more are public in both logs."""
    if not children.wait_until(
        lambda: all(watch.size(kind) >= size + more for kind, size in before.items()),
        seconds=SETTLE_S + more / 500,
        pause=TICK_S,
    ):
        raise StackError("the sequencer does not keep up: see its log")


def _waits(
    place: Place, watch: Watch, kind: str, first: int, committed: dict[str, float]
) -> list[float]:
    with place.owner() as db:
        rows = db.execute(_PLACES[kind].encode(), (election.ID, first)).fetchall()
    return [
        watch.public_at(kind, index) - committed[subject]
        for subject, index in rows
        if subject in committed
    ]
