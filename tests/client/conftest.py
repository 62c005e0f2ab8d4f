"""A scripted server with a ballot box, and both clients behind one face."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.client.scripted import JWT, TOKEN, BallotBox, ScriptedServer, serving
from votepyramid.client import aio
from votepyramid.client.ballots import Receipt, SealedBallot, Token
from votepyramid.client.messages import Pause
from votepyramid.client.policy import RetryPolicy
from votepyramid.client.sdk import VotingClient

# Short waits: what is tested is which waits are made, not the passing of time.
QUICK = RetryPolicy(deadline=5.0, base=0.01, cap=0.05, retry_after_cap=0.2)


class BlockingVoter:
    """The SDK."""

    def __init__(self, server: ScriptedServer, box: BallotBox, **more: Any) -> None:
        self.waits: list[Pause] = []
        more = {"timeout": 2.0, "policy": QUICK, **more}
        self.client = VotingClient(
            server.url,
            "demo",
            authority_vkey=box.vkey,
            on_wait=self.waits.append,
            **more,
        )
        self.client.use_manifest(box.signed)

    def claim(self, style: str | None = None) -> Token:
        return self.client.claim(JWT, style)

    def seal(self, token: Token, selections: Any) -> SealedBallot:
        return self.client.seal(token, selections)

    def cast(self, ballot: SealedBallot) -> Receipt:
        return self.client.cast(ballot)

    def close(self) -> None:
        self.client.close()


class LoadVoter(BlockingVoter):
    """The asyncio client of replays and benchmarks, on its own loop."""

    def __init__(self, server: ScriptedServer, box: BallotBox, **more: Any) -> None:
        super().__init__(server, box, **more)
        self.runner = asyncio.Runner()
        more = {"timeout": 2.0, "policy": QUICK, **more}
        self.lane = aio.AsyncVotingClient(
            server.url, self.client.manifest(), on_wait=self.waits.append, **more
        )

    def claim(self, style: str | None = None) -> Token:
        return self.runner.run(self.lane.claim(JWT, style))

    def cast(self, ballot: SealedBallot) -> Receipt:
        return self.runner.run(self.lane.cast(ballot))

    def close(self) -> None:
        self.lane.close()
        self.runner.close()
        super().close()


@pytest.fixture(scope="session")
def box() -> BallotBox:
    return BallotBox()


@pytest.fixture
def server(box: BallotBox) -> Iterator[ScriptedServer]:
    box.answers.clear()
    with serving(box.serve) as running:
        yield running


@pytest.fixture(params=[BlockingVoter, LoadVoter])
def make_voter(
    request: pytest.FixtureRequest, server: ScriptedServer, box: BallotBox
) -> Iterator[Any]:
    made: list[BlockingVoter] = []

    def make(**more: Any) -> BlockingVoter:
        made.append(request.param(server, box, **more))
        return made[-1]

    yield make
    for voter in made:
        voter.close()


@pytest.fixture
def voter(make_voter: Any) -> BlockingVoter:
    voter: BlockingVoter = make_voter()
    return voter


@pytest.fixture
def ballot(voter: BlockingVoter, box: BallotBox) -> SealedBallot:
    token = Token(TOKEN, "north", box.m)
    return voter.seal(token, {"mayor": [["c2"], []]})
