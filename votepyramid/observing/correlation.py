"""The id of a request: in its answer, and in every log line that is written for it.

It tells nothing of who asks. Lines on a group of requests have the group's id.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
import threading

from structlog.typing import EventDict

_COUNTER = itertools.count()
_SECRET = secrets.token_bytes(32)
# Of a thread, not a context: a task that a request has begun goes on for others.
_HERE = threading.local()


def new() -> str:
    """16 hex digits that tell nothing, not even how many there were before.

    Asking the kernel for each would let the interpreter lock go once more.
    """
    number = next(_COUNTER).to_bytes(8)
    return hashlib.blake2b(number, key=_SECRET, digest_size=8).hexdigest()


def begin() -> str:
    """A new one, for this thread's lines until its next request."""
    made = new()
    _HERE.request_id = made
    return made


def add(_logger: object, _name: str, event: EventDict) -> EventDict:
    """A processor of structlog's: the id of the request that is being answered."""
    request_id = getattr(_HERE, "request_id", None)
    if request_id is not None:
        event["request_id"] = request_id
    return event
