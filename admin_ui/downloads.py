"""Downloads: large answers, made while they are sent, few at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from pyramid.response import Response

from votepyramid.auditors.folder import FolderError

log = structlog.get_logger(__name__)

# Each holds one of the process's threads, for as long as its reader takes.
AT_ONCE = 4


class DownloadsBusy(Exception):
    """As many as may are under way."""


class Downloads:
    """Those of this process."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._free = threading.BoundedSemaphore(at_once)

    @contextmanager
    def begin(
        self, pieces: Iterator[bytes], size: int, name: str
    ) -> Iterator[Response]:
        """An answer that is saved as a file of that name, if nothing fails inside.

        Its length is said before, so that a browser notices one that was cut off.
        Raises DownloadsBusy.
        """
        if not self._free.acquire(blocking=False):
            raise DownloadsBusy
        body = _Body(pieces, self._free)
        try:
            yield Response(
                app_iter=body,
                content_type="application/x-tar",
                content_length=size,
                content_disposition=f'attachment; filename="{name}"',
                cache_control="no-store",
            )
        except BaseException:
            body.close()
            raise


class _Body:
    """What a server iterates over, and closes, also when it never began."""

    def __init__(
        self, pieces: Iterator[bytes], free: threading.BoundedSemaphore
    ) -> None:
        self._pieces = pieces
        self._free: threading.BoundedSemaphore | None = free

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._pieces
        except FolderError as error:
            # The answer has begun: all that can be said now is less than was promised.
            log.error("download_cut_off", why=str(error))

    def close(self) -> None:
        free, self._free = self._free, None
        if free is not None:
            free.release()
