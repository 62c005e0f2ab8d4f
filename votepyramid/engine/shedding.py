"""When the gateway takes nothing more, and after how long to come back."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from votepyramid.engine import metrics
from votepyramid.errors import Code, Refused
from votepyramid.settings import Settings

RATE_WINDOW_S = 5.0
REFUSED_ALONE_S = 30.0
MAX_RETRY_AFTER_S = 10.0


class Crowd:
    """The callers that wait in this process, over all lines; thread safe.

    Each holds a thread of the web server. Were they all held, health checks and
    receipts would wait behind votes, and nobody could be told to come back.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
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
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1


class Shedding:
    """One line's bounds. Not locked: the gateway calls it under its own lock."""

    def __init__(self, line: str, settings: Settings) -> None:
        self._line = line
        self._settings = settings
        self._answered: deque[float] = deque()
        # Items that were refused with nobody beside them, and until when they count
        # as stuck groups: one is its own fault, many of them are the engine's.
        self._refused_alone: dict[str, float] = {}

    def answered(self) -> None:
        """One more item has its answer."""
        now = time.monotonic()
        self._answered.append(now)
        while self._answered[0] < now - RATE_WINDOW_S:
            self._answered.popleft()

    def refused_alone(self, key: str) -> None:
        """A group of one was refused by the database and goes on by itself."""
        self._refused_alone[key] = time.monotonic() + REFUSED_ALONE_S

    def check(self, queued: int, running: int, *, draining: bool) -> None:
        """Raises Refused: OVERLOADED over the estimated wait, UNAVAILABLE while
        draining or while too many groups are stuck."""
        refusal = None
        if draining or self.stuck(running):
            refusal = Refused(Code.UNAVAILABLE, retry_after=2 + 3 * random.random())
        else:
            wait = self._estimated_wait(queued)
            if wait > self._settings.answer_timeout:
                # Jitter, so that those who are sent away do not return together.
                after = min(max(1.0, wait / 2), MAX_RETRY_AFTER_S)
                after *= 1 + random.random()
                refusal = Refused(Code.OVERLOADED, retry_after=after)
        if refusal is not None:
            metrics.SHED.labels(self._line).inc()
            raise refusal

    def stuck(self, running: int) -> bool:
        """True when too many groups, or items refused alone, do not get done."""
        now = time.monotonic()
        for key in [k for k, until in self._refused_alone.items() if until < now]:
            del self._refused_alone[key]
        return running + len(self._refused_alone) >= self._settings.groups_stuck

    def _estimated_wait(self, queued: int) -> float:
        next_groups = self._settings.group_votes * self._settings.groups_in_flight
        if queued <= next_groups:
            # The next groups take them all. After a quiet time the rate is that of
            # the first few, from which a crowd would seem to wait for minutes.
            return 0.0
        since = time.monotonic() - RATE_WINDOW_S
        while self._answered and self._answered[0] < since:
            self._answered.popleft()
        if not self._answered:
            return 0.0
        return queued * RATE_WINDOW_S / len(self._answered)
