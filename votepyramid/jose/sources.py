"""A small document from a file or over https, read again when it is old."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from votepyramid.jose.fetching import SECONDS, FetchError, fetch

MAX_BYTES = 64 * 1024
# What was taken out of a document is trusted no longer than this.
MAX_AGE = 300.0
# What is missing in it makes us look again, but not at any stranger's pace.
MIN_PAUSE = 30.0
FIRST_PAUSE = 1.0
# How long the known document serves while it cannot be had.
MAX_STALE = 3600.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


class SourceError(Exception):
    """A document cannot be had or cannot be used; the message says which and why."""


class Source(Generic[T]):
    """What `parse` makes of the newest document; `what` names it in messages.

    One thread fetches; the others go on with what they know. Safe to share. `parse`
    may raise SourceError. `insecure` allows http, for a server on loopback. An answer
    may take so many `seconds`.
    """

    def __init__(
        self,
        location: str,
        what: str,
        parse: Callable[[bytes], T],
        *,
        insecure: bool = False,
        seconds: float = SECONDS,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        schemes = ("https://", "http://") if insecure else ("https://",)
        self.remote = location.startswith(schemes)
        """True when the document comes over the network."""
        if "://" in location and not self.remote:
            raise SourceError(f"{what} comes from a file or over https")
        self._location = location
        self._what = what
        self._parse = parse
        self._seconds = seconds
        self._ssl = ssl_context
        self._clock = clock
        self._found: T | None = None
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching = threading.Lock()

    def current(self) -> T:
        """The document, fetched when it is old. Raises SourceError without one."""
        if self._clock() - self._fetched_at >= MAX_AGE:
            self._refresh_if_due()
        found = self._found
        if found is None or self._clock() - self._fetched_at >= MAX_STALE:
            raise SourceError(f"{self._what} could not be had")
        return found

    def newer(self) -> T:
        """As `current`, when something is missing in it: fetched once more if due."""
        self._refresh_if_due()
        return self.current()

    def refresh(self) -> None:
        """Fetch it now. Raises SourceError and keeps what it had."""
        try:
            self._found = self._parse(self._fetch())
            self._fetched_at = self._clock()
        finally:
            self._tried_at = self._clock()

    def _refresh_if_due(self) -> None:
        # Wait for another thread's fetch only while there is nothing to go on with.
        patience = self._seconds if self._found is None else 0
        if not self._fetching.acquire(timeout=patience):
            return
        try:
            pause = FIRST_PAUSE if self._found is None else MIN_PAUSE
            if self._clock() - self._tried_at >= pause:
                self.refresh()
        except SourceError as error:
            log.warning("source_refresh_failed", source=self._what, problem=str(error))
        finally:
            self._fetching.release()

    def _fetch(self) -> bytes:
        if not self.remote:
            return _read_file(self._location)
        try:
            answer = fetch(
                self._location,
                limit=MAX_BYTES,
                seconds=self._seconds,
                ssl_context=self._ssl,
            )
        except FetchError as error:
            raise SourceError(str(error)) from None
        if answer.status != 200:
            raise SourceError(f"the address of {self._what} said {answer.status}")
        return answer.body


def _read_file(location: str) -> bytes:
    try:
        with Path(location).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SourceError(f"cannot read {location}: {error.strerror}") from None
