"""Heartbeats of a step that takes long, from beside it."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from temporalio import activity

BEAT_S = 3.0


@contextmanager
def beating(
    details: Callable[[], Any] | None = None, every: float = BEAT_S
) -> Iterator[None]:
    """Beat as long as what is inside goes on: a statement of the database can take
    minutes.

    `details` goes along with each beat; while it gives None there is none.
    """
    over = threading.Event()

    def beat() -> None:
        while not over.wait(every):
            said = details() if details is not None else ()
            if details is None:
                activity.heartbeat()
            elif said is not None:
                activity.heartbeat(said)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(beat,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
