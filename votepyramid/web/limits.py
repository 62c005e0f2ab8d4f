"""How often one voter may claim and one token be cast, by the manifest's `rate`.

A window of a minute in each process's memory, keyed by a hash: an election served by n
processes allows up to n times the rate. That is enough to stop a client that runs
wild, costs no round trip, and fails open; the bound on work is the gateway's queue.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from typing import Any

from sqlalchemy import Engine

from votepyramid.db import reading
from votepyramid.elections import service as elections
from votepyramid.errors import Code, Refused
from votepyramid.votes.ballots import Submission


class Limits:
    """Raises Refused(RATE_LIMITED) with the seconds until the window moves on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._minute = 0
        self._hits: Counter[bytes] = Counter()
        self._rates: dict[str, dict[str, Any]] = {}

    def claim(self, election: str, voter_id: str) -> None:
        rate = self._rate(election, "claims_per_voter_per_minute")
        self._hit(rate, "claim", election, voter_id.encode())

    def cast(self, election: str, submission: Submission) -> None:
        rate = self._rate(election, "casts_per_token_per_minute")
        self._hit(rate, "cast", election, submission.bearer.bytes)

    def _rate(self, election: str, name: str) -> int:
        """Raises Refused(ELECTION_UNKNOWN)."""
        rates = self._rates.get(election)
        if rates is None:
            with reading(self._engine) as connection:
                rates = elections.get(connection, election).manifest["rate"]
            self._rates[election] = rates
        return int(rates[name])

    def _hit(self, rate: int, kind: str, election: str, who: bytes) -> None:
        name = kind.encode() + b"\x00" + election.encode() + b"\x00" + who
        key = hashlib.sha256(name).digest()
        minute, second = divmod(time.monotonic(), 60.0)
        with self._lock:
            if minute != self._minute:
                self._minute, self._hits = int(minute), Counter()
            self._hits[key] += 1
            over = self._hits[key] > rate
        if over:
            raise Refused(Code.RATE_LIMITED, retry_after=max(1.0, 60.0 - second))
