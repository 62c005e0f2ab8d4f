"""A key provider whose every call ends in time, whatever the KMS does.

A client's own timeouts do not add up to one: looking up a name, a server that sends
a byte a second, a token's driver that never returns. So each call runs on a thread
of its own, and the caller goes on without it when the time is up. A thread that
hangs holds its lane; with every lane lost, callers are refused at once, until one
comes back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from votepyramid.keys.provider import Announce, KekStore, Unanswered

T = TypeVar("T")

# To make a key: an operator waits, no voter does, and giving up undoes nothing.
MAKING_SECONDS = 60.0


class Bounded:
    """Another KekStore, its calls given up after `seconds`; making one takes longer.

    `lanes` is how many calls the provider takes at a time. Raises Unanswered naming
    `what` for a call that was given up: it goes on by itself, and may be done yet.
    """

    def __init__(
        self, provider: KekStore, what: str, seconds: float, lanes: int = 1
    ) -> None:
        self._provider = provider
        self._what = what
        self._seconds = seconds
        self._lanes = lanes
        self._free = threading.Semaphore(lanes)
        self._lock = threading.Lock()
        self._lost = 0

    def wrap(self, context: bytes, key: bytes) -> bytes:
        return self._within(lambda: self._provider.wrap(context, key))

    def unwrap(self, context: bytes, wrapped: bytes) -> bytes:
        return self._within(lambda: self._provider.unwrap(context, wrapped))

    def make(self, name: str, announce: Announce) -> str:
        return self._within(lambda: self._provider.make(name, announce), MAKING_SECONDS)

    def destroy(self, name: str) -> str:
        return self._within(lambda: self._provider.destroy(name))

    def _within(self, work: Callable[[], T], seconds: float | None = None) -> T:
        seconds = self._seconds if seconds is None else seconds
        end = time.monotonic() + seconds
        patience = 0.0 if self._lost >= self._lanes else seconds
        if not self._free.acquire(timeout=patience):
            raise self._late(seconds)
        call: _Call[T] = _Call(work)
        # A daemon: a driver that hangs must not keep the process from ending.
        threading.Thread(target=self._run, args=(call,), daemon=True).start()
        if not call.ended.wait(max(0.0, end - time.monotonic())):
            with self._lock:
                if not call.ended.is_set():
                    call.lost = True
                    self._lost += 1
            raise self._late(seconds)
        if call.error is not None:
            raise call.error
        return call.answers[0]

    def _run(self, call: _Call[Any]) -> None:
        call.run()
        with self._lock:
            call.ended.set()
            self._lost -= call.lost
        self._free.release()

    def _late(self, seconds: float) -> Unanswered:
        return Unanswered(f"{self._what} did not answer in {seconds:g} s")


class _Call(Generic[T]):
    """One call and what became of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self.ended = threading.Event()
        self.lost = False
        self.answers: list[T] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.answers.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            self.error = error
