"""What a manifest bounds at the door: how often one voter may claim and one token be
cast, by its `rate`, and how long a ballot may be, by its styles.

Rates: a window of a minute in each process's memory, keyed by a hash: an election
served by n processes allows up to n times the rate. That is enough to stop a client
that runs wild, costs no round trip, and fails open; the bound on work is the gateway's
queue.
Lengths: what is longer than every ballot would stay in Temporal for as long as its
histories are kept, also under a token that is used up.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter

import prometheus_client

from votepyramid.elections.service import Manifests
from votepyramid.errors import Code, Refused
from votepyramid.votes.ballots import Submission, too_long

REFUSED = prometheus_client.Counter(
    "votepyramid_limits_refused_total",
    "Requests over a limit of the manifest",
    ["limit"],
)


class Limits:
    """Raises Refused(RATE_LIMITED) with the seconds until the window moves on."""

    def __init__(self, manifests: Manifests) -> None:
        self._manifests = manifests
        self._lock = threading.Lock()
        self._minute = 0
        self._hits: Counter[bytes] = Counter()

    def claim(self, election: str, voter_id: str) -> None:
        """Raises also Refused: ELECTION_UNKNOWN, UNAVAILABLE."""
        manifest = self._manifests.get(election).manifest
        rate = manifest["rate"]["claims_per_voter_per_minute"]
        self._hit(rate, "claim", election, voter_id.encode())

    def cast(self, election: str, submission: Submission) -> None:
        """Raises also Refused(BALLOT_LENGTH), or what is wrong with it before that,
        for a payload that is longer than any ballot of the election."""
        known = self._manifests.get(election)
        rate = known.manifest["rate"]["casts_per_token_per_minute"]
        self._hit(rate, "cast", election, submission.bearer.bytes)
        refusal = too_long(known, submission)
        if refusal is not None:
            REFUSED.labels("ballot_length").inc()
            raise Refused(refusal)

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
            REFUSED.labels(f"{kind}_rate").inc()
            raise Refused(Code.RATE_LIMITED, retry_after=max(1.0, 60.0 - second))
