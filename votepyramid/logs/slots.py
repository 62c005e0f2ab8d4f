"""When batches are due: when a slot of time ends, by the clock, alike for all logs.

Were a batch due so long after its oldest entry came, then a batch of one would say to a
tenth of a second when that was. So it says the slot, and nothing within it.
"""

from __future__ import annotations

from collections.abc import Callable


class Slots:
    """Slots of so many seconds, whole multiples of them after 1970.

    `clock` gives seconds since then.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._last: int | None = None

    def turn(self) -> bool:
        """Whether a slot has ended since it was asked last; no when asked first.

        A batch at the start would say that what is in it came before the start.
        """
        now = int(self._clock() // self._seconds)
        turned, self._last = self._last not in (None, now), now
        return turned

    def left(self) -> float:
        """Seconds until the slot ends."""
        return self._seconds - self._clock() % self._seconds
