"""The engine without its processes: the real steps on a real database, by hand.

What the workflows do is their own code (`decide`); only who runs a step, how often
and in which company is up to the test.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sqlalchemy import Engine

from activities.eligibility import EligibilitySteps
from activities.encryption import EncryptionSteps
from activities.storage import StorageSteps
from activities.tokens import TokenSteps
from tests.support.elections import MadeElection
from votepyramid.db import make_engine
from votepyramid.errors import Code
from votepyramid.protocol.ballot import SealedBallot
from votepyramid.protocol.encoding import b64u
from votepyramid.tokens import service as tokens
from votepyramid.votes import service as votes
from votepyramid.votes.ballots import CastBallot, Submission, identify
from votepyramid.votes.casting import cast_vote
from workflows import claim_tokens, submit_votes
from workflows import messages as m

Step = Callable[[Any], Any]


@dataclass(frozen=True)
class Arrived:
    """A vote past the door: refused there, known there, or ready to travel."""

    refusal: Code | None
    receipt: str | None
    vote: m.CastVote


class EngineRoom:
    """Runs groups of claims and votes in this process."""

    def __init__(self, election: MadeElection, pool_size: int = 2) -> None:
        self.election = election
        self.engine: Engine = make_engine(
            election.database.app_url, pool_size=pool_size
        )
        keys = election.keys
        eligibility = EligibilitySteps(self.engine)
        self.steps: dict[str, Step] = {
            m.CHECK_ELIGIBILITY: eligibility.check_eligibility,
            m.CHECK_CLAIMS: eligibility.check_claims,
            m.ENCRYPT_BALLOTS: EncryptionSteps(keys).encrypt_ballots,
            m.RECORD_VOTES: StorageSteps(self.engine, keys).record_votes,
            m.ISSUE_TOKENS: TokenSteps(self.engine, keys).issue_tokens,
        }

    def dispose(self) -> None:
        self.engine.dispose()

    def runner(self, repeat: frozenset[str] = frozenset()) -> Any:
        """A step function for `decide`; steps in `repeat` are run twice, as after
        a worker that died with its transaction committed. The second answer counts.
        """

        async def run(name: str, argument: Any, _result_type: Any) -> Any:
            if name in repeat:
                self.steps[name](argument)
            return self.steps[name](argument)

        return run

    def claim(
        self,
        asked: Sequence[tuple[str, str | None]],
        repeat: frozenset[str] = frozenset(),
    ) -> list[Code | uuid.UUID]:
        """A group of claims, each a voter and the style asked for; a bearer or the
        refusal for each."""
        e, keys = self.election, self.election.keys
        found: dict[tuple[str, str | None], Code | uuid.UUID] = {}
        claims: dict[tuple[str, str | None], m.Claim] = {}
        for voter, style in asked:
            with self.engine.connect() as connection:
                arrival = tokens.arrive(connection, e.id, voter)
            if arrival.refusal is not None:
                found[voter, style] = arrival.refusal
            elif arrival.issued is not None:
                found[voter, style] = tokens.bearer(
                    keys, e.id, e.m, voter, arrival.issued.counter
                )
            else:
                name = tokens.pseudonym(keys, e.id, voter)
                claims[voter, style] = _claim(arrival, name, style)
        outcomes = self.issue([*claims.values()], repeat) if claims else []
        for one, outcome in zip(claims, outcomes, strict=True):
            assert outcome.code is None and outcome.counter is not None, outcome
            found[one] = tokens.bearer(keys, e.id, e.m, one[0], outcome.counter)
        return [found[one] for one in asked]

    def issue(
        self,
        claims: Sequence[m.Claim],
        repeat: frozenset[str] = frozenset(),
        group_id: str | None = None,
    ) -> list[m.ClaimOutcome]:
        """A group of claims through check and issuing."""
        message = m.ClaimTokensInput(
            self.election.id, group_id or f"claims/{uuid.uuid4().hex}", list(claims)
        )
        return asyncio.run(claim_tokens.decide(message, self.runner(repeat)))

    def arrived_claim(self, voter: str, style: str | None = None) -> m.Claim:
        """A claim past the door, as its workflow gets it."""
        e, keys = self.election, self.election.keys
        with self.engine.connect() as connection:
            arrival = tokens.arrive(connection, e.id, voter)
        return _claim(arrival, tokens.pseudonym(keys, e.id, voter), style)

    def arrive(self, bearer: uuid.UUID, ballot: SealedBallot) -> Arrived:
        """The one read at the door; the database's clock is in the vote."""
        e = self.election
        cast: CastBallot = identify(
            e.id,
            e.m,
            Submission(
                bearer, ballot.payload, ballot.style, ballot.suite, ballot.kid, ballot.m
            ),
        )
        with self.engine.connect() as connection:
            (arrival,) = votes.arrive(connection, [cast])
        vote = cast_vote(cast, arrival.arrived_at)
        return Arrived(arrival.refusal, arrival.receipt, vote)

    def submit(
        self,
        group: Sequence[m.CastVote],
        repeat: frozenset[str] = frozenset(),
        group_id: str | None = None,
    ) -> list[m.VoteOutcome]:
        """A group of votes through check, envelope and record."""
        message = m.SubmitVotesInput(
            self.election.id, group_id or f"votes/{uuid.uuid4().hex}", list(group)
        )
        return asyncio.run(submit_votes.decide(message, self.runner(repeat)))

    def stored(self, receipt_hashes: Sequence[str]) -> dict[str, str]:
        with self.engine.connect() as connection:
            return votes.stored_receipts(connection, receipt_hashes)


def _claim(arrival: tokens.ClaimArrival, name: bytes, style: str | None) -> m.Claim:
    return m.Claim(
        key=tokens.claim_key(arrival.voter, name, style),
        voter=str(arrival.voter) if arrival.voter else None,
        pseudonym=b64u(name),
        style=style,
        arrived_at=arrival.arrived_at.astimezone(UTC).isoformat(),
    )
