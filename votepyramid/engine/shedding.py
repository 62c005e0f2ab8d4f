"""When the gateway takes nothing more, and after how long to come back."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from votepyramid.engine import metrics
from votepyramid.errors import Code, Refused
from votepyramid.settings import Settings

# How long a group takes is the mean of the last ones, of so many seconds. Fewer than
# the least say nothing: one vote that was held up is not a slow engine.
LEAST_GROUPS, MOST_GROUPS = 4, 8
RECENT_S = 10.0
REFUSED_ALONE_S = 30.0
MAX_RETRY_AFTER_S = 10.0


class Crowd:
    """The callers that wait in this process, over all lines; thread safe.

    Each holds a thread of the web server. Were they all held, health checks and
    receipts would wait behind votes, and nobody could be told to come back.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        metrics.CALLERS_LIMIT.set(bound)
        self._lock = threading.Lock()
        self._count = 0

    @contextmanager
    def joined(self, line: str) -> Iterator[None]:
        """Be one of them. Raises Refused(OVERLOADED) when there are too many."""
        with self._lock:
            full = self._count >= self._bound
            self._count += not full
        if full:
            metrics.SHED.labels(line).inc()
            raise Refused(Code.OVERLOADED, retry_after=1 + 2 * random.random())
        metrics.CALLERS.inc()
        try:
            yield
        finally:
            metrics.CALLERS.dec()
            with self._lock:
                self._count -= 1


class Shedding:
    """One line's bounds. Not locked: the gateway calls it under its own lock."""

    def __init__(self, line: str, settings: Settings) -> None:
        self._line = line
        self._settings = settings
        # When each of the latest groups had its last answer, and how long it took.
        self._took: deque[tuple[float, float]] = deque(maxlen=MOST_GROUPS)
        # Items that were refused with nobody beside them, and until when they count
        # as stuck groups: one is its own fault, many of them are the engine's.
        self._refused_alone: dict[str, float] = {}

    def answered(self, began: float) -> None:
        """One more group that began at this time has all its answers."""
        now = time.monotonic()
        # A stuck one gave its place to the next after that time: what it took
        # beyond is nobody's wait.
        self._took.append((now, min(now - began, self._settings.answer_timeout)))

    def refused_alone(self, key: str) -> None:
        """A group of one was refused by the database and goes on by itself."""
        self._refused_alone[key] = time.monotonic() + REFUSED_ALONE_S

    def check(
        self, queued: Collection[int], under_way: Collection[float], *, draining: bool
    ) -> None:
        """Raises Refused: OVERLOADED over the estimated wait, UNAVAILABLE while
        draining or while too many groups are stuck.

        `queued` are the sizes of the items that wait, `under_way` the times at which
        the running groups began.
        """
        refusal = None
        if draining or self.stuck(under_way):
            refusal = Refused(Code.UNAVAILABLE, retry_after=2 + 3 * random.random())
        else:
            wait = self.estimated_wait(queued, under_way)
            if wait > self._settings.answer_timeout:
                # Jitter, so that those who are sent away do not return together.
                after = min(max(1.0, wait / 2), MAX_RETRY_AFTER_S)
                after *= 1 + random.random()
                refusal = Refused(Code.OVERLOADED, retry_after=after)
        if refusal is not None:
            metrics.SHED.labels(self._line).inc()
            raise refusal

    def stuck(self, under_way: Collection[float]) -> bool:
        """True when too many groups, or items refused alone, do not get done."""
        now = time.monotonic()
        for key in [k for k, until in self._refused_alone.items() if until < now]:
            del self._refused_alone[key]
        stuck = len(under_way) - self._moving(under_way) + len(self._refused_alone)
        return stuck >= self._settings.groups_stuck

    def _moving(self, under_way: Collection[float]) -> int:
        """How many of these groups are not stuck: nobody has waited in vain for one."""
        since = time.monotonic() - self._settings.answer_timeout
        return sum(began > since for began in under_way)

    def estimated_wait(
        self, queued: Collection[int], under_way: Collection[float]
    ) -> float:
        """Seconds until whoever comes now is answered; 0 when nobody can tell.

        Counted in groups, as pacing is: one takes about as long whether it is one
        item or many, so a rate of items would tell a crowd that comes after a
        trickle to wait for minutes. Who finds a free place does not wait for others,
        and is how the engine is seen to be quick again.
        """
        since = time.monotonic() - RECENT_S
        took = [seconds for ended, seconds in self._took if ended > since]
        ahead = max(
            len(queued) // self._settings.group_votes,
            sum(queued) // self._settings.group_bytes,
        )
        groups = self._moving(under_way) + ahead + 1
        places = self._settings.groups_in_flight
        if groups <= places or len(took) < LEAST_GROUPS:
            return 0.0
        return groups / places * sum(took) / len(took)
