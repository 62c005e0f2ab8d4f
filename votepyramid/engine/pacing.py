"""When the next group goes: at once while it is quiet, in good company while not.

A group costs several times what a vote in it costs, so the fewer and fuller they are,
the more votes get through; but nobody shall wait for company that does not come.

- While no group is under way, the next one starts. But where several were answered
  a moment ago, several come: until there are half as many, it is waited for them,
  `group_gather` seconds at most. Half, so that those who come in turns become two
  crowds: while one is recorded, the other is taken in.
- While one is under way, the next one fills until that one has ended, or is full; but
  it waits no longer than PATIENCE_S: what is under way may be stuck.
- Never are more than `groups_in_flight` under way, stuck ones not counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from votepyramid.settings import Settings

PATIENCE_S = 0.25


class Pacing:
    """Of one line, on the event loop. `queued` says how many requests wait."""

    def __init__(self, settings: Settings, queued: Callable[[], int]) -> None:
        self._settings = settings
        self._queued = queued
        self._changed = asyncio.Event()
        self._moving = 0
        self._since: float | None = None
        self._expected = 0
        self._gathered_by = 0.0

    def arrived(self) -> None:
        """There may be a request more in the queue."""
        if self._since is None:
            self._since = time.monotonic()
        self._changed.set()

    async def turn(self) -> None:
        """Return when a group should start now."""
        while True:
            self._changed.clear()
            pause = self._pause(self._queued(), time.monotonic())
            if pause is not None and pause <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()

    def started(self, size: int) -> Callable[..., None]:
        """A group of so many has started; those still queued wait for the next one.

        Returns what to call when it has ended. Whoever has not called it after
        `answer_timeout` seconds has a stuck group, and the others go on.
        """
        self._moving += 1
        self._since = time.monotonic() if self._queued() else None
        told = False

        def ended(*_: object) -> None:
            nonlocal told
            if not told:
                told = True
                timer.cancel()
                self._ended(size)

        timer = asyncio.get_running_loop().call_later(
            self._settings.answer_timeout, ended
        )
        return ended

    def _ended(self, size: int) -> None:
        self._moving -= 1
        self._expected = size
        self._gathered_by = time.monotonic() + self._settings.group_gather
        self._changed.set()

    def _pause(self, queued: int, now: float) -> float | None:
        """Seconds until a group should start; None: not before something changes."""
        if not queued or self._moving >= self._settings.groups_in_flight:
            return None
        if queued >= self._settings.group_votes:
            return 0.0
        if self._moving:
            return (self._since or now) + PATIENCE_S - now
        return 0.0 if 2 * queued >= self._expected else self._gathered_by - now
