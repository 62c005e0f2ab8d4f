"""When to send again, and how long to wait before.

Exponential backoff with full jitter: the wait is uniform between nothing and a bound
that doubles, so that voters who met the same fault do not come back together.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# Answers after which the same bytes may succeed later.
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_DIGITS = 9


@dataclass(frozen=True)
class RetryPolicy:
    """Times in seconds. `deadline` bounds one conversation, its waits included."""

    deadline: float = 120.0
    base: float = 0.25
    cap: float = 15.0
    retry_after_cap: float = 60.0
    clock: Callable[[], float] = time.monotonic
    uniform: Callable[[float, float], float] = field(
        default=random.SystemRandom().uniform
    )

    def wait(self, attempt: int, retry_after: float | None) -> float:
        """Seconds to wait after failure number `attempt` (from 1).

        `Retry-After` is a least wait; jitter comes on top of it.
        """
        bound = min(self.cap, self.base * 2.0 ** min(attempt - 1, 30))
        jitter = self.uniform(0.0, bound)
        if retry_after is None:
            return jitter
        return min(retry_after, self.retry_after_cap) + min(jitter, self.base)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in whole seconds (RFC 9110, section 10.2.3), or None.

    The form with a date is left out: a voter's clock may be wrong.
    """
    text = headers.get("retry-after", "").strip()
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
        return None
    return float(text)
