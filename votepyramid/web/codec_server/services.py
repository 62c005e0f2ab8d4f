"""What the codec server works with; `request.services` of its views."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass

from votepyramid.eligibility.operators import OperatorVerifier
from votepyramid.engine.codec_server import Decoder
from votepyramid.errors import Code, Refused
from votepyramid.settings import Settings
from votepyramid.web.codec_server.sessions import Sessions
from votepyramid.web.origins import origin

# The console asks once for each field of each event: a page of history is hundreds.
CALLS_PER_MINUTE = 1200


class Rate:
    """Calls of one operator in a minute, counted in this process."""

    def __init__(self, bound: int = CALLS_PER_MINUTE) -> None:
        self._bound = bound
        self._lock = threading.Lock()
        self._minute = 0
        self._calls: Counter[str] = Counter()

    def hit(self, who: str) -> None:
        """Raises Refused(RATE_LIMITED) with the seconds until the next minute."""
        minute, second = divmod(time.monotonic(), 60.0)
        with self._lock:
            if int(minute) != self._minute:
                self._minute, self._calls = int(minute), Counter()
            self._calls[who] += 1
            over = self._calls[who] > self._bound
        if over:
            raise Refused(Code.RATE_LIMITED, retry_after=max(1.0, 60.0 - second))


@dataclass(frozen=True)
class CodecServices:
    """`sessions` is None in production: there the console passes a token on."""

    settings: Settings
    origin: str
    decoder: Decoder
    verifier: OperatorVerifier
    sessions: Sessions | None
    rate: Rate

    def start(self) -> None:
        """Nothing runs beside the requests."""

    def drain(self, deadline: float) -> None:
        """Nothing waits inside."""


def make_services(settings: Settings) -> CodecServices:
    """Raises SettingsError or KeyProviderError with what to set."""
    return CodecServices(
        settings,
        origin(settings, "codec_origin"),
        Decoder(settings.require("codec_keys_file")),
        OperatorVerifier(settings),
        None if settings.production else Sessions(),
        Rate(),
    )
