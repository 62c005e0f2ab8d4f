"""How many requests a process has answered at each door, and how fast."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

# Upper bounds in seconds of the classes that answers are counted in; one class more is
# for what took longer.
BOUNDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0)
# Statuses of answers to a request that was taken.
TAKEN = frozenset({200, 202})
MAX_ELECTIONS = 64


class Tally:
    """Counts since the process began. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._classes: dict[tuple[str, str], list[int]] = {}

    def answered(self, door: str, election: str, status: int, seconds: float) -> None:
        """One more answer. Elections beyond the first MAX_ELECTIONS are not counted."""
        key = (door, election)
        with self._lock:
            if key not in self._statuses and len(self._statuses) >= 2 * MAX_ELECTIONS:
                return
            self._statuses[key][str(status)] += 1
            if status in TAKEN:
                classes = self._classes.setdefault(key, [0] * (len(BOUNDS) + 1))
                classes[bisect_left(BOUNDS, seconds)] += 1

    def numbers(self) -> dict[str, Any]:
        """By door and election: answers by `status`, and the taken ones by `class`."""
        made: dict[str, Any] = {}
        with self._lock:
            for (door, election), statuses in self._statuses.items():
                classes = self._classes.get((door, election), [])
                made.setdefault(door, {})[election] = {
                    "status": dict(statuses),
                    "class": list(classes),
                }
        return made


def quantile(classes: Sequence[int], share: float) -> float | None:
    """Seconds that `share` of the answers took no longer than; None without answers.

    Linear within a class, as Prometheus's `histogram_quantile`; what is over the last
    bound counts as the last bound.
    """
    wanted, below = share * sum(classes), 0
    if not wanted:
        return None
    for index, count in enumerate(classes[: len(BOUNDS)]):
        if count and below + count >= wanted:
            low = BOUNDS[index - 1] if index else 0.0
            return low + (BOUNDS[index] - low) * (wanted - below) / count
        below += count
    return BOUNDS[-1]
