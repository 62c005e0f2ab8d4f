"""Signed in by cookie, for consoles that pass no token on. Development only.

The cookie is a random name for what stands here, in this process's memory: a restart
signs everybody out, and nothing about the operator leaves it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

from votepyramid.eligibility.operators import Operator
from votepyramid.errors import Code, Refused

LIFETIME = 8 * 3600
MAX_SESSIONS = 256
# Tokens that were used to sign in, until they expire by themselves.
MAX_USED = 4096


class Sessions:
    """Threads may share it. Times are Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._operators: dict[str, Operator] = {}
        self._used: dict[str, float] = {}

    def begin(self, operator: Operator) -> tuple[str, int]:
        """The new session's secret name and its seconds, for a token used once.

        Raises Refused(UNAUTHENTICATED) for a token without an id, or a used one.
        """
        now = self._clock()
        with self._lock:
            self._forget(now)
            if not operator.token_id or operator.token_id in self._used:
                raise Refused(Code.UNAUTHENTICATED)
            if len(self._used) >= MAX_USED or len(self._operators) >= MAX_SESSIONS:
                raise Refused(Code.OVERLOADED, retry_after=60.0)
            self._used[operator.token_id] = operator.expires + LIFETIME
            name = secrets.token_urlsafe(32)
            self._operators[name] = Operator(
                operator.subject, operator.role, now + LIFETIME
            )
        return name, LIFETIME

    def operator(self, name: str | None) -> Operator | None:
        """Who began the session of that name, while it lasts."""
        with self._lock:
            found = self._operators.get(name or "")
        return found if found is not None and found.expires > self._clock() else None

    def _forget(self, now: float) -> None:
        self._used = {name: until for name, until in self._used.items() if until > now}
        self._operators = {
            name: one for name, one in self._operators.items() if one.expires > now
        }
