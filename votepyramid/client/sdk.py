"""The voter's client: pin, claim, seal, cast, keep the receipt.

    client = VotingClient("https://vote.example.org", "city-2026", authority_vkey=key)
    token = client.claim(jwt)
    ballot = client.seal(token, {"mayor": [["c2"], ["c1"], []]})
    save_ballot(...)                      # before it is sent: see files.py
    receipt = client.cast(ballot)

Sending again is always safe: a ballot's bytes never change, and the engine records
it at most once and answers the same bytes for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from votepyramid.client import steps
from votepyramid.client.ballots import PinnedElection, Receipt, SealedBallot, Token, pin
from votepyramid.client.errors import ManifestRejected
from votepyramid.client.messages import Pause, check_base_url
from votepyramid.client.policy import RetryPolicy
from votepyramid.client.transport import Transport, run
from votepyramid.protocol.ballot import Selections
from votepyramid.protocol.encoding import check_id

DEFAULT_TIMEOUT = 10.0
T = TypeVar("T")


class VotingClient:
    """One voter's dealings with one election.

    `authority_vkey` (a signed-note verifier key) or `manifest_hash` (hex) pins the
    election; without either nothing goes on. `timeout` bounds one request, `policy`
    a conversation. `on_wait` is told of every wait before a retry. Methods raise
    the errors of `votepyramid.client.errors`.
    """

    def __init__(
        self,
        base_url: str,
        election: str,
        *,
        authority_vkey: str | None = None,
        manifest_hash: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        policy: RetryPolicy | None = None,
        on_wait: Callable[[Pause], None] | None = None,
        sleep: Callable[[float], Any] = time.sleep,
        allow_http: bool = False,
    ) -> None:
        base_url = check_base_url(base_url, allow_http=allow_http)
        self._election = check_id(election)
        self._authority_vkey = authority_vkey
        self._manifest_hash = manifest_hash
        self._policy = policy or RetryPolicy()
        self._on_wait = on_wait
        self._sleep = sleep
        # Two sets of connections: the one that carried the voter's name must not
        # carry the ballot.
        self._named = Transport(base_url, timeout)
        self._nameless = Transport(base_url, timeout)
        self._pinned: PinnedElection | None = None

    def manifest(self) -> PinnedElection:
        """The election, fetched once and checked against the pins."""
        if self._pinned is None:
            self._pinned = self._run(
                steps.fetch_manifest(
                    self._election,
                    self._policy,
                    authority_vkey=self._authority_vkey,
                    pinned_hash=self._manifest_hash,
                ),
                self._nameless,
            )
        return self._pinned

    def use_manifest(self, signed: dict[str, Any]) -> PinnedElection:
        """Use a signed manifest at hand instead of fetching it; checked the same."""
        self._pinned = pin(
            signed,
            self._election,
            authority_vkey=self._authority_vkey,
            pinned_hash=self._manifest_hash,
        )
        return self._pinned

    def claim(self, jwt: str, style: str | None = None) -> Token:
        """The voter's one-time token; claiming again gives the same one."""
        conversation = steps.claim(self.manifest(), jwt, style, self._policy)
        return self._run(conversation, self._named)

    def seal(self, token: Token, selections: Selections) -> SealedBallot:
        """Seal choices. Two calls give two different ballots: keep the first."""
        return self.manifest().seal(token, selections)

    def cast(self, ballot: SealedBallot) -> Receipt:
        """Send the ballot until it is recorded, and verify the receipt."""
        if ballot.m != self.manifest().m:
            raise ManifestRejected("the ballot was sealed for another manifest")
        conversation = steps.cast(self.manifest(), ballot, self._policy)
        return self._run(conversation, self._nameless)

    def receipt(self, ballot: SealedBallot) -> Receipt:
        """The stored receipt of a ballot, verified. Raises ReceiptUnknown."""
        return self.manifest().verify(ballot, self.stored_answer(ballot.receipt_hash))

    def stored_answer(self, receipt_hash: str) -> bytes:
        """The answer stored for any receipt hash, as it is: unverified."""
        conversation = steps.receipt(self._election, receipt_hash, self._policy)
        return self._run(conversation, self._nameless)

    def close(self) -> None:
        self._named.close()
        self._nameless.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, conversation: steps.Steps[T], transport: Transport) -> T:
        return run(conversation, transport, on_wait=self._on_wait, sleep=self._sleep)
