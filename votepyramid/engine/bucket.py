"""So many questions in a second, and no more."""

from __future__ import annotations

import asyncio
import time


class Bucket:
    """Has `most` at first and at most, and gets `per_second` back.

    For one taker at a time: whoever waits holds up who comes later.
    """

    def __init__(self, per_second: float, most: int) -> None:
        self._per_second, self._most = per_second, most
        self._held = float(most)
        self._at = time.monotonic()

    async def take(self, many: int) -> None:
        """Return when there are so many, which must not be more than `most`."""
        while True:
            now = time.monotonic()
            gained = (now - self._at) * self._per_second
            self._held, self._at = min(self._most, self._held + gained), now
            if self._held >= many:
                self._held -= many
                return
            await asyncio.sleep((many - self._held) / self._per_second)
