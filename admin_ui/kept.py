"""Answers that take long, kept for a while and shown with their age.

A page never waits for more than a moment: what is not there yet is on its way, and the
page says so. One question at a time is asked for each key, whoever looks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from votepyramid.processes import place

log = structlog.get_logger(__name__)

T = TypeVar("T")

# What a page may wait; its whole budget is 300 ms.
PATIENCE_S = 0.1
# How many keys are kept: whoever writes an address can ask for any.
HELD = 128


@dataclass(frozen=True)
class Kept(Generic[T]):
    """A value and how many seconds ago it was found; None while there is none.

    `error` is why the last question failed, until one is answered.
    """

    value: T | None
    age: float
    error: Exception | None = None

    @property
    def failed(self) -> bool:
        return self.error is not None

    @property
    def asking(self) -> bool:
        """Whether there is nothing yet, and no reason to think that nothing comes."""
        return self.value is None and not self.failed


class Keeper(Generic[T]):
    """Values by key. A value older than `fresh` seconds is asked for anew, and shown
    until the new one is there."""

    def __init__(
        self,
        ask: Callable[[str], T],
        fresh: float,
        at_once: int = 2,
        patience: float = PATIENCE_S,
    ) -> None:
        self._ask, self._fresh, self._patience = ask, fresh, patience
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="kept")
        self._lock = threading.Lock()
        self._asked: dict[str, _Asked] = {}
        self._known: dict[str, _Known[T]] = {}
        # Keys whose last question failed, and why, until one is answered.
        self._failing: dict[str, Exception] = {}
        # Goes up when something was changed that was asked about.
        self._turn = 0

    def prepare(self, key: str = "") -> None:
        """Ask, where that is due, and do not wait: for what is got a bit later."""
        with self._lock:
            self._question(key)

    def get(self, key: str = "") -> Kept[T]:
        """What is known, at once or when it was asked for `patience` seconds ago."""
        with self._lock:
            known = self._known.get(key)
            asked = self._question(key)
        if asked is not None:
            patience = asked.at + self._patience - time.monotonic()
            wait([asked.answer], max(0.0, patience))
        with self._lock:
            known = self._known.get(key, known)
            error = self._failing.get(key)
        return known.kept(error) if known else Kept(None, 0.0, error)

    def get_all(self, keys: Iterable[str]) -> list[Kept[T]]:
        """Of several, asked together and waited for together."""
        wanted = list(keys)
        for key in wanted:
            self.prepare(key)
        return [self.get(key) for key in wanted]

    def _question(self, key: str) -> _Asked | None:
        """What is being asked, from now on if need be; None where nothing has to be."""
        known, asked = self._known.get(key), self._asked.get(key)
        if known is not None and self._is_fresh(known):
            return None
        if asked is None:
            answer = self._pool.submit(self._find, key, self._turn)
            asked = self._asked[key] = _Asked(answer, time.monotonic())
        return asked

    def forget(self) -> None:
        """Something was changed: ask anew, also what is being asked just now."""
        with self._lock:
            self._turn += 1
            self._asked.clear()

    def _is_fresh(self, known: _Known[T]) -> bool:
        return known.turn == self._turn and known.age < self._fresh

    def _find(self, key: str, turn: int) -> None:
        found: _Known[T] | Exception
        try:
            found = _Known(self._ask(key), time.monotonic(), turn)
        except Exception as error:  # noqa: BLE001 - whoever asks is told what it was
            found = error
        with self._lock:
            if turn == self._turn:
                self._asked.pop(key, None)
            if isinstance(found, _Known):
                self._note(key, found)
            else:
                self._note_failure(key, found)

    def _note_failure(self, key: str, error: Exception) -> None:
        before = self._failing.pop(key, None)
        if type(before) is not type(error):
            # Once, and not for every look: its kind and its place, never what it says.
            log.warning("answer_failed", error=type(error).__name__, place=place(error))
        while len(self._failing) >= HELD:
            del self._failing[next(iter(self._failing))]
        self._failing[key] = error

    def _note(self, key: str, found: _Known[T]) -> None:
        self._failing.pop(key, None)
        before = self._known.pop(key, found)
        while len(self._known) >= HELD:
            del self._known[next(iter(self._known))]
        self._known[key] = before if before.turn > found.turn else found


@dataclass(frozen=True)
class _Asked:
    """A question under way, and since when."""

    answer: Future[None]
    at: float


@dataclass(frozen=True)
class _Known(Generic[T]):
    """A value, when it was found, and in which turn it was asked for."""

    value: T
    at: float
    turn: int

    @property
    def age(self) -> float:
        return time.monotonic() - self.at

    def kept(self, error: Exception | None = None) -> Kept[T]:
        return Kept(self.value, self.age, error)
