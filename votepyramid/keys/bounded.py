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

from votepyramid.keys.provider import KeyProvider, KeyProviderError


class Bounded:
    """Another KeyProvider, its calls given up after `seconds`.

    `lanes` is how many calls the provider takes at a time. Raises KeyProviderError
    naming `what` for a call that was given up.
    """

    def __init__(
        self, provider: KeyProvider, what: str, seconds: float, lanes: int = 1
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

    def _within(self, work: Callable[[], bytes]) -> bytes:
        end = time.monotonic() + self._seconds
        patience = 0.0 if self._lost >= self._lanes else self._seconds
        if not self._free.acquire(timeout=patience):
            raise self._late()
        call = _Call(work)
        # A daemon: a driver that hangs must not keep the process from ending.
        threading.Thread(target=self._run, args=(call,), daemon=True).start()
        if not call.ended.wait(max(0.0, end - time.monotonic())):
            with self._lock:
                if not call.ended.is_set():
                    call.lost = True
                    self._lost += 1
            raise self._late()
        if call.error is not None:
            raise call.error
        return call.answer

    def _run(self, call: _Call) -> None:
        call.run()
        with self._lock:
            call.ended.set()
            self._lost -= call.lost
        self._free.release()

    def _late(self) -> KeyProviderError:
        return KeyProviderError(f"{self._what} did not answer in {self._seconds:g} s")


class _Call:
    """One call and what became of it."""

    def __init__(self, work: Callable[[], bytes]) -> None:
        self._work = work
        self.ended = threading.Event()
        self.lost = False
        self.answer = b""
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.answer = self._work()
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            self.error = error
