"""A key provider whose calls are counted and timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from prometheus_client import Counter, Histogram

from votepyramid.keys.provider import (
    Announce,
    KekGone,
    KekStore,
    KeyProviderError,
    WrongContext,
)

T = TypeVar("T")

SECONDS = Histogram(
    "votepyramid_kms_call_seconds",
    "Time that a call of the key provider took, whatever became of it",
    ["provider", "call"],
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
FAILURES = Counter(
    "votepyramid_kms_failures_total",
    "Calls of the key provider that gave no key",
    ["provider", "call", "problem"],
)
NOT_RENEWED = Counter(
    "votepyramid_keys_not_renewed_total",
    "Keys in memory that were asked for again in vain; they are held for key_hold",
    ["purpose"],
)


class Measured:
    """Another KekStore; `kind` is the kek_provider setting."""

    def __init__(self, provider: KekStore, kind: str) -> None:
        self._provider = provider
        self._kind = kind

    def wrap(self, context: bytes, key: bytes) -> bytes:
        return self._timed("wrap", lambda: self._provider.wrap(context, key))

    def unwrap(self, context: bytes, wrapped: bytes) -> bytes:
        return self._timed("unwrap", lambda: self._provider.unwrap(context, wrapped))

    def make(self, name: str, announce: Announce) -> str:
        return self._timed("make", lambda: self._provider.make(name, announce))

    def destroy(self, name: str) -> str:
        return self._timed("destroy", lambda: self._provider.destroy(name))

    def _timed(self, call: str, work: Callable[[], T]) -> T:
        with SECONDS.labels(self._kind, call).time():
            try:
                return work()
            except Exception as error:
                FAILURES.labels(self._kind, call, _problem(error)).inc()
                raise


def _problem(error: Exception) -> str:
    if isinstance(error, WrongContext):
        return "wrong context"
    if isinstance(error, KekGone):
        return "key gone"
    return "away" if isinstance(error, KeyProviderError) else "other"
