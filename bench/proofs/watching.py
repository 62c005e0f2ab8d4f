"""When entries became public: the logs' heads, looked at over and over."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from bench import election
from votepyramid.logs.store import AUDIT, RECEIPTS

PAUSE_S = 0.005
_HEADS = "SELECT kind, checkpoint_size FROM log_heads WHERE election = %s"


class Watch:
    """The sizes under the newest checkpoints of both logs, and since when."""

    def __init__(self, owner_url: str) -> None:
        self._url = owner_url
        self._seen: dict[str, tuple[list[float], list[int]]] = {
            RECEIPTS: ([], []),
            AUDIT: ([], []),
        }

    def size(self, kind: str) -> int:
        """As it was seen last; 0 before that."""
        return next(reversed(self._seen[kind][1]), 0)

    def public_at(self, kind: str, index: int) -> float:
        """When (monotonic) the first checkpoint was seen that has this entry."""
        times, sizes = self._seen[kind]
        return times[bisect_right(sizes, index)]

    def look(self, stop: threading.Event) -> None:
        """Until told to stop."""
        with psycopg.connect(self._url, autocommit=True) as db:
            while not stop.wait(PAUSE_S):
                found = db.execute(_HEADS, (election.ID,)).fetchall()
                now = time.monotonic()
                for kind, size in found:
                    times, sizes = self._seen[kind]
                    if not sizes or sizes[-1] != size:
                        times.append(now)
                        sizes.append(size)


@contextmanager
def watching(owner_url: str) -> Iterator[Watch]:
    """A watch that looks on a thread of its own."""
    watch, stop = Watch(owner_url), threading.Event()
    thread = threading.Thread(target=watch.look, args=[stop])
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join()
