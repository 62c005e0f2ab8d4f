"""Starts parts in order, starts a crashed one again, stops all in reverse order."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from votepyramid.stack import children
from votepyramid.stack.errors import StackError
from votepyramid.stack.layout import Layout
from votepyramid.stack.progress import Progress

_LONGEST_PAUSE = 30.0
# A part that has lived this long starts with a clean sheet.
_FORGIVEN_AFTER = 60.0
_TICK = 0.25


class Part(Protocol):
    """Something with a process: started, watched, stopped."""

    def start(self) -> None: ...
    def stop(self) -> object: ...
    def alive(self) -> bool: ...


@dataclass
class _Watched:
    name: str
    part: Part
    started: float = field(default_factory=time.monotonic)
    failures: int = 0
    again_at: float | None = None


class Supervisor:
    """Keeps the parts of one stack running until it is told to stop."""

    def __init__(self, layout: Layout, progress: Progress) -> None:
        self._layout = layout
        self._progress = progress
        self._parts: list[_Watched] = []

    def start(self, name: str, part: Part) -> None:
        """Start a part, wait until it is ready and watch it from then on."""
        watched = _Watched(name, part)
        # Before its start, so that a start cut short is stopped too.
        self._parts.append(watched)
        part.start()

    def watch(self) -> None:
        """Start again what crashes, until `children.stop_asked` is set."""
        while not children.stop_asked.wait(_TICK):
            for watched in self._parts:
                if not watched.part.alive():
                    self._mend(watched)

    def stop(self) -> None:
        """Stop every part, the last one first."""
        while self._parts:
            watched = self._parts.pop()
            if watched.part.alive():
                with self._progress.step(f"Stopping {watched.name}"):
                    watched.part.stop()

    def _mend(self, watched: _Watched) -> None:
        now = time.monotonic()
        if watched.again_at is None:
            if now - watched.started > _FORGIVEN_AFTER:
                watched.failures = 0
            pause = min(2.0**watched.failures, _LONGEST_PAUSE)
            watched.again_at = now + pause
            watched.failures += 1
            self._progress.problem(
                f"{watched.name} ended by itself; starting it again in {pause:.0f} s "
                f"(see {self._layout.logs})"
            )
        elif now >= watched.again_at:
            watched.again_at = None
            watched.started = now
            try:
                with self._progress.step(f"{watched.name} again"):
                    watched.part.start()
            except StackError as error:
                self._progress.problem(str(error))


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Within, Ctrl-C, SIGTERM and a closed terminal ask for an orderly stop."""

    def ask(number: int, frame: object) -> None:
        children.stop_asked.set()

    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        children.stop_asked.clear()
