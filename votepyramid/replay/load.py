"""Many voters at once, over HTTP: all claims first, then all casts.

Each phase has its own random order, so that neither the order of claims nor that of
casts says anything about the other. Choices, tokens and sealed ballots are in this
process's memory only, and a ballot not longer than it is being cast.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from votepyramid.client.aio import AsyncVotingClient
from votepyramid.client.ballots import PinnedElection, Token
from votepyramid.client.errors import ClientError
from votepyramid.client.messages import Pause
from votepyramid.client.policy import RetryPolicy
from votepyramid.replay.ballots import Ballots
from votepyramid.replay.timing import Timing

# A stack under load sheds: what matters is that every voter gets through.
PATIENCE = RetryPolicy(deadline=600.0, base=0.1, cap=5.0)
Act = Callable[[AsyncVotingClient, int], Awaitable[float]]


class ReplayFailed(Exception):
    """A voter was refused, or the stack was away for too long."""


@dataclass
class Progress:
    """Called as things happen, on the loop's thread."""

    claimed: Callable[[], None] = lambda: None
    cast: Callable[[], None] = lambda: None
    waited: Callable[[Pause], None] = lambda pause: None


class Load:
    """One replay's voters. `mint` makes the sign-in token of a voter id.

    `receipts` are SHA-256 digests of the verified answers, all that is kept of them;
    `waits` counts the waits before a retry by their reason.
    """

    def __init__(
        self,
        url: str,
        election: PinnedElection,
        ballots: Ballots,
        mint: Callable[[str], str],
        *,
        clients: int,
        progress: Progress,
    ) -> None:
        self._url = url
        self._election = election
        self._ballots = ballots
        self._mint = mint
        self._clients = clients
        self._progress = progress
        self._tokens: dict[int, Token] = {}
        self.claims = Timing()
        self.casts = Timing()
        self.receipts: set[bytes] = set()
        self.waits: Counter[str] = Counter()

    def run(self) -> None:
        """Claim and cast for every voter. Raises ReplayFailed."""
        try:
            asyncio.run(self._run())
        except* ClientError as group:
            error = _first(group)
            told = " ".join(part for part in (str(error), error.advice) if part)
            raise ReplayFailed(told) from error

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            lanes = []
            for _ in range(self._clients):
                lane = AsyncVotingClient(
                    self._url,
                    self._election,
                    policy=PATIENCE,
                    on_wait=self._waited,
                    allow_http=True,
                )
                lanes.append(await stack.enter_async_context(lane))
            await _phase(lanes, self._ballots.shuffled(), self._claim, self.claims)
            self._check_tokens()
            await _phase(lanes, self._ballots.shuffled(), self._cast, self.casts)

    async def _claim(self, lane: AsyncVotingClient, voter: int) -> float:
        jwt = self._mint(self._ballots.voter_id(voter))
        started = time.perf_counter()
        token = await lane.claim(jwt)
        took = time.perf_counter() - started
        if token.style != self._ballots.style(voter):
            raise ClientError("a voter got another precinct's ballot style")
        self._tokens[voter] = token
        self._progress.claimed()
        return took

    async def _cast(self, lane: AsyncVotingClient, voter: int) -> float:
        token = self._tokens.pop(voter)
        ballot = self._election.seal(token, self._ballots.selections(voter))
        started = time.perf_counter()
        receipt = await lane.cast(ballot)
        took = time.perf_counter() - started
        self.receipts.add(hashlib.sha256(receipt.answer).digest())
        self._progress.cast()
        return took

    def _check_tokens(self) -> None:
        bearers: set[uuid.UUID] = {token.bearer for token in self._tokens.values()}
        if len(bearers) != len(self._ballots):
            raise ReplayFailed("two voters were given the same token")

    def _waited(self, pause: Pause) -> None:
        self.waits[pause.reason] += 1
        self._progress.waited(pause)


async def _phase(
    lanes: Sequence[AsyncVotingClient], order: Iterable[int], act: Act, timing: Timing
) -> None:
    """Every voter once; each lane takes the next one when it is free."""
    voters = iter(order)

    async def run(lane: AsyncVotingClient) -> None:
        for voter in voters:
            timing.each.append(await act(lane, voter))

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for lane in lanes:
            group.create_task(run(lane))
    timing.seconds = time.perf_counter() - started


def _first(group: BaseExceptionGroup[ClientError]) -> ClientError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ClientError)
    return error
