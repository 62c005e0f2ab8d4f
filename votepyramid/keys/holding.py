"""Unwrapped keys in the memory of a process, each for a bounded time.

A key that is not held is asked for once, however many want it: they share the answer.
It is served for `seconds` from when it was asked for, never longer; then it is
forgotten, asked for or not. One that is in use is asked for anew from half of that
time on, by a thread of its own, so that nobody waits for a slow KMS, and one that is
away is not noticed before the time is up. A key that its row or the KMS disowns is
forgotten at once.

Forgotten keys are overwritten. What has been handed out is a copy, and Python cannot
overwrite that: docs/threat-model.md says how far this reaches.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from votepyramid.keys.provider import KeyProviderError, WrongContext
from votepyramid.protocol.notes import SigningKey

log = structlog.get_logger(__name__)

# A renewal that failed is tried again after a sixtieth of the time, or so many seconds.
MOST_PAUSE_S = 10.0


class KeyMissing(LookupError):
    """The election has no key of this purpose, or it was destroyed."""


class Place(NamedTuple):
    """Where a key belongs; `key_id` is null for the only one of its purpose."""

    election: str
    purpose: str
    key_id: uuid.UUID | None = None


class Unwrapped(NamedTuple):
    """A key as its row and the KMS give it; `signer` where it signs."""

    key: bytes
    signer: SigningKey | None


@dataclass
class _Held:
    key: bytearray
    signer: SigningKey | None
    until: float
    renew_at: float
    # Whether anybody asked since: what nobody uses is not renewed.
    used: bool = False

    def wipe(self) -> None:
        self.key[:] = bytes(len(self.key))
        self.signer = None


class Holder:
    """Keys by place. Safe to share between threads.

    `read` asks for a key, and may take as long as the KMS; it raises KeyMissing and
    WrongContext for one that is not to be used any more, anything else for trouble.
    """

    def __init__(self, read: Callable[[Place], Unwrapped], seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._lock = threading.Lock()
        self._due = threading.Condition(self._lock)
        self._held: dict[Place, _Held] = {}
        # What is being asked for now.
        self._asking: dict[Place, Future[Unwrapped]] = {}
        self._timer: threading.Timer | None = None
        self._timer_end = 0.0
        self._renewer: threading.Thread | None = None
        self._closed = False
        # When the KMS first failed to answer, of the time since it last did.
        self._failing: float | None = None
        # What it was asked for last of all in vain, and when that is tried again.
        self._failed: Place | None = None
        self._again_at = 0.0

    def state(self) -> dict[str, float | None]:
        """For how many seconds the KMS has been failing, None when it answers; and in
        how many the first key in use is forgotten if that goes on."""
        with self._lock:
            now = time.monotonic()
            ends = [held.until - now for held in self._held.values() if held.used]
            failing = None if self._failing is None else now - self._failing
            return {"failing": failing, "left": min(ends, default=None)}

    @property
    def pause(self) -> float:
        """Seconds between tries of what has failed."""
        return min(MOST_PAUSE_S, self._seconds / 60)

    def get(self, place: Place) -> Unwrapped:
        """The key; one that is not held is asked for now, or is being asked for.

        Raises what `read` does.
        """
        with self._lock:
            held = self._living(place)
            if held is not None:
                held.used = True
                if held.renew_at <= time.monotonic():
                    self._due.notify()
                return Unwrapped(bytes(held.key), held.signer)
            question, first = self._question(place)
        return self._put(place, question) if first else question.result()

    def holds(self, place: Place) -> bool:
        """Whether `get` would answer without asking."""
        with self._lock:
            return self._living(place) is not None

    def close(self) -> None:
        """Forget all keys, and hold none any more."""
        with self._lock:
            self._closed = True
            for place in list(self._held):
                self._forget(place)
            self._due.notify()

    def _question(self, place: Place) -> tuple[Future[Unwrapped], bool]:
        """The one about this key, and whether the caller has to put it. Under the lock.

        A KMS that takes one call at a time would else be asked as often as there are
        callers, and refuse most of them, the key long since held.
        """
        asking = self._asking.get(place)
        if asking is not None:
            return asking, False
        asking = self._asking[place] = Future()
        return asking, True

    def _put(self, place: Place, question: Future[Unwrapped]) -> Unwrapped:
        try:
            try:
                found = self._ask(place)
            finally:
                # First: who hears of a failure and asks again puts a new question.
                with self._lock:
                    del self._asking[place]
        except BaseException as error:
            question.set_exception(error)
            raise
        question.set_result(found)
        return found

    def _ask(self, place: Place) -> Unwrapped:
        # Counted from before: what was destroyed meanwhile ends in time as well.
        asked = time.monotonic()
        try:
            found = self._read(place)
        except KeyProviderError as error:
            with self._lock:
                if not isinstance(error, WrongContext):
                    self._note_failure(place, asked)
            raise
        with self._lock:
            self._failing = self._failed = None
            if not self._closed:
                self._forget(place)
                until = asked + self._seconds
                self._held[place] = _Held(
                    bytearray(found.key),
                    found.signer,
                    until,
                    asked + self._seconds / 2,
                )
                self._watch()
        return found

    def _note_failure(self, place: Place, asked: float) -> None:
        """Under the lock."""
        self._failing = self._failing or asked
        self._failed, self._again_at = place, time.monotonic() + self.pause
        if not self._closed:
            self._watch()

    def _living(self, place: Place) -> _Held | None:
        """Under the lock."""
        self._forget_expired()
        return self._held.get(place)

    def _forget(self, place: Place) -> None:
        """Under the lock."""
        held = self._held.pop(place, None)
        if held is not None:
            held.wipe()

    def _forget_expired(self) -> None:
        """Under the lock."""
        now = time.monotonic()
        for place in [p for p, held in self._held.items() if held.until <= now]:
            self._forget(place)

    def _watch(self) -> None:
        """See to it that keys are renewed, and forgotten in time. Under the lock.

        Forgetting has a timer of its own: neither a key that nobody asks for any
        more, nor a KMS that hangs, may keep one for longer.
        """
        if self._held:
            self._set_timer(min(held.until for held in self._held.values()))
        if self._renewer is None:
            self._renewer = threading.Thread(
                target=self._renew, name="key-renewer", daemon=True
            )
            self._renewer.start()

    def _set_timer(self, end: float) -> None:
        """Forget at `end` what has ended by then, or before. Under the lock."""
        if self._timer is not None:
            if self._timer_end <= end:
                return
            # What was asked for first and answered last ends before the others.
            self._timer.cancel()
        pause = max(0.0, end - time.monotonic())
        self._timer_end = end
        self._timer = threading.Timer(pause, self._forget_in_time)
        self._timer.daemon = True
        self._timer.start()

    def _forget_in_time(self) -> None:
        with self._lock:
            # Or another one has taken the place of one that was going off already.
            if self._timer is threading.current_thread():
                self._timer = None
            self._forget_expired()
            if self._held:
                self._watch()

    def _renew(self) -> None:
        """One after the other: a KMS that is slow is not asked more for it."""
        while True:
            with self._lock:
                place = self._next()
                if self._closed:
                    return
            if place is not None:
                self._renew_one(place)

    def _next(self) -> Place | None:
        """What is to be renewed now, or null after a wait. Under the lock."""
        due = [(held.renew_at, place) for place, held in self._held.items()]
        now = time.monotonic()
        used = [one for one in due if self._held[one[1]].used and one[0] <= now]
        if used:
            return min(used, key=lambda one: one[0])[1]
        later = [renew_at - now for renew_at, _ in due if renew_at > now]
        if self._failed is not None:
            # Also when nobody asks any more: it counts as away until it answers.
            if self._again_at <= now:
                self._again_at = now + self.pause
                return self._failed
            later.append(self._again_at - now)
        self._due.wait(min(later, default=self._seconds))
        return None

    def _renew_one(self, place: Place) -> None:
        with self._lock:
            question, first = self._question(place)
        try:
            if first:
                self._put(place, question)
            else:
                question.result()
        except (KeyMissing, WrongContext) as error:
            with self._lock:
                self._forget(place)
                if self._failed == place:
                    self._failing = self._failed = None
            self._say(place, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, there is time left
            with self._lock:
                held = self._held.get(place)
                if held is not None:
                    held.renew_at = time.monotonic() + self.pause
            self._say(place, error)

    def _say(self, place: Place, error: Exception) -> None:
        # Imported late: metrics must know their directory first.
        from votepyramid.keys.measured import NOT_RENEWED

        NOT_RENEWED.labels(place.purpose).inc()
        log.warning(
            "key_not_renewed",
            election=place.election,
            purpose=place.purpose,
            error=type(error).__name__,
        )
