"""When the gateway takes nothing more, and after how long to come back."""

from __future__ import annotations

import random
import time
from collections import deque

from votepyramid.engine import metrics
from votepyramid.errors import Code, Refused
from votepyramid.settings import Settings

RATE_WINDOW_S = 5.0
REFUSED_ALONE_S = 30.0


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
        """Raises Refused: OVERLOADED over the queue's bound or estimated wait,
        UNAVAILABLE while draining or while too many groups are stuck."""
        refusal = None
        if draining or running + self._stuck() >= self._settings.groups_stuck:
            refusal = Refused(Code.UNAVAILABLE, retry_after=2 + 3 * random.random())
        else:
            wait = self._estimated_wait(queued)
            full = queued >= self._settings.queue_bound
            if full or wait > self._settings.queue_wait:
                # Jitter, so that those who are sent away do not return together.
                after = min(max(1.0, wait / 2), self._settings.queue_wait)
                after *= 1 + random.random()
                refusal = Refused(Code.OVERLOADED, retry_after=after)
        if refusal is not None:
            metrics.SHED.labels(self._line).inc()
            raise refusal

    def _stuck(self) -> int:
        now = time.monotonic()
        for key in [k for k, until in self._refused_alone.items() if until < now]:
            del self._refused_alone[key]
        return len(self._refused_alone)

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
