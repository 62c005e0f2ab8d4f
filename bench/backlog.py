"""All at once: what a sequencer makes of a backlog."""

from __future__ import annotations

import time

from bench import election, votes
from bench.place import Place
from votepyramid.stack import children
from votepyramid.stack.errors import StackError

HOUR_S = 3600.0


def cast_all(place: Place, number: int) -> None:
    """The first staged votes, while nobody sequences; then nothing is left to clear."""
    with place.owner() as db:
        for begin in range(0, number, votes.CHUNK):
            end = min(begin + votes.CHUNK, number)
            votes.cast(db, election.ID, begin, end)
        db.execute("VACUUM ANALYZE")


def drain(place: Place) -> float:
    """Seconds of `votepyramid log sequence --once`, its start included."""
    began = time.monotonic()
    sequencer = place.sequencer("--once")
    sequencer.start(wait=False)
    ended = lambda: sequencer.returncode is not None  # noqa: E731
    children.wait_until(ended, seconds=HOUR_S)
    seconds = time.monotonic() - began
    if sequencer.returncode != 0:
        sequencer.stop()
        raise StackError(f"the sequencer failed:\n{children.tail(sequencer.log, 20)}")
    return seconds
