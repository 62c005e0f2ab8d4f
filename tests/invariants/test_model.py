"""Claims and casts in any order, company and repetition, against a simple model.

Issued is used and unused; votes, receipts and audit events are one another; a token
has one vote for ever, and it is one that was cast.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.invariants.engine_room import EngineRoom
from tests.support.databases import Database
from tests.support.elections import make_election
from tests.support.processes import environment
from tests.support.voting import OTHER_SELECTIONS, SELECTIONS
from votepyramid.errors import Code
from votepyramid.protocol.ballot import SealedBallot, seal_ballot
from votepyramid.protocol.suites import X25519
from votepyramid.stack.devserver import DevServer
from workflows import messages as m

VOTERS = [f"v{number}" for number in range(4)]
CAST_STEPS = [m.CHECK_ELIGIBILITY, m.ENCRYPT_BALLOTS, m.RECORD_VOTES]
CLAIM_STEPS = [m.CHECK_CLAIMS, m.ISSUE_TOKENS]
ids = (f"model-{number}" for number in itertools.count())


def _repeats(steps: list[str]) -> st.SearchStrategy[frozenset[str]]:
    return st.sets(st.sampled_from(steps)).map(frozenset)


@dataclass(frozen=True)
class Prepared:
    """A ballot that a voter, or a thief, may send."""

    bearer: uuid.UUID
    ballot: SealedBallot


class Voting(RuleBasedStateMachine):
    database: Database
    env: dict[str, str]

    @initialize()
    def begin(self) -> None:
        election = make_election(
            self.database,
            self.env,
            id=next(ids),
            voters=len(VOTERS),
            grace=0,
            suite=X25519.id,
        )
        self.election = election
        self.room = EngineRoom(election)
        self.closed = False
        self.bearers: dict[str, uuid.UUID] = {}
        self.prepared: list[Prepared] = []
        self.held: list[tuple[Prepared, m.CastVote]] = []
        # What stands: the vote of each bearer, and the answer to its bytes.
        self.standing: dict[uuid.UUID, SealedBallot] = {}
        self.answers: dict[str, str] = {}
        self.owner: dict[bytes, uuid.UUID] = {}

    def teardown(self) -> None:
        if hasattr(self, "room"):
            self.room.dispose()
            self.election.engine.dispose()

    @rule(
        asked=st.lists(
            st.tuples(st.sampled_from(VOTERS), st.sampled_from([None, "north"])),
            min_size=1,
            unique=True,
        ),
        repeat=_repeats(CLAIM_STEPS),
    )
    def claim(
        self, asked: list[tuple[str, str | None]], repeat: frozenset[str]
    ) -> None:
        for (voter, _), got in zip(asked, self.room.claim(asked, repeat), strict=True):
            if self.closed:
                assert got is Code.ELECTION_CLOSED
            else:
                assert isinstance(got, uuid.UUID)
                assert self.bearers.setdefault(voter, got) == got

    @precondition(lambda self: self.bearers)
    @rule(data=st.data(), other=st.booleans())
    def prepare(self, data: st.DataObject, other: bool) -> None:
        bearer = data.draw(st.sampled_from(sorted(self.bearers.values())))
        selections = OTHER_SELECTIONS if other else SELECTIONS
        sealed = seal_ballot(self.election.manifest, "north", bearer, selections)
        self.prepared.append(Prepared(bearer, sealed))

    @precondition(lambda self: self.prepared)
    @rule(data=st.data())
    def steal(self, data: st.DataObject) -> None:
        """Take somebody's sealed ballot for another token."""
        bearer = data.draw(st.sampled_from(sorted(self.bearers.values())))
        theirs = data.draw(st.sampled_from(self.prepared)).ballot
        self.prepared.append(Prepared(bearer, theirs))

    @precondition(lambda self: self.prepared)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        """Past the door, and then on the way for as long as it pleases."""
        for one in data.draw(st.lists(st.sampled_from(self.prepared), max_size=5)):
            arrived = self.room.arrive(one.bearer, one.ballot)
            known = self.answers.get(arrived.vote.receipt_hash)
            assert arrived.receipt == known
            if known is None:
                assert (arrived.refusal is not None) == self.closed
            if arrived.refusal is None:
                self.held.append((one, arrived.vote))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), repeat=_repeats(CAST_STEPS))
    def submit(self, data: st.DataObject, repeat: frozenset[str]) -> None:
        """Some of those on their way, in any order; they may also come again."""
        chosen = data.draw(
            st.lists(
                st.integers(0, len(self.held) - 1), min_size=1, max_size=6, unique=True
            )
        )
        group: dict[str, tuple[Prepared, m.CastVote]] = {}
        for number in chosen:
            group.setdefault(self.held[number][1].receipt_hash, self.held[number])
        if data.draw(st.booleans()):
            self.held = [h for n, h in enumerate(self.held) if n not in chosen]
        before = dict(self.standing), dict(self.owner)
        outcomes = self.room.submit([vote for _, vote in group.values()], repeat)
        receipts = self.room.stored(list(group))
        for (one, vote), outcome in zip(group.values(), outcomes, strict=True):
            assert outcome.receipt_hash == vote.receipt_hash
            assert (outcome.code is None) == (vote.receipt_hash in receipts)
            if outcome.code is None:
                self._stands(one, receipts[vote.receipt_hash])
        for (one, _), outcome in zip(group.values(), outcomes, strict=True):
            self._explained(one, outcome, [p for p, _ in group.values()], *before)

    def _stands(self, one: Prepared, answer: str) -> None:
        ballot = self.standing.setdefault(one.bearer, one.ballot)
        assert ballot.c == one.ballot.c, "a second vote under one token"
        assert self.owner.setdefault(ballot.c, one.bearer) == one.bearer
        receipt_hash = self.room.arrive(one.bearer, one.ballot).vote.receipt_hash
        assert self.answers.setdefault(receipt_hash, answer) == answer

    def _explained(
        self,
        one: Prepared,
        outcome: m.VoteOutcome,
        company: list[Prepared],
        stood: dict[uuid.UUID, SealedBallot],
        owned: dict[bytes, uuid.UUID],
    ) -> None:
        """A refusal has its reason, and nobody without one is refused."""
        c = one.ballot.c
        if outcome.code == Code.TOKEN_USED:
            assert self.standing[one.bearer].c != c
        elif outcome.code == Code.BALLOT_COPIED:
            assert self.owner[c] != one.bearer
        else:
            assert outcome.code is None
        rivals = [
            p
            for p in company
            if p is not one
            and (p.bearer, p.ballot.c) != (one.bearer, c)
            and (p.bearer == one.bearer or p.ballot.c == c)
        ]
        if one.bearer not in stood and c not in owned and not rivals:
            assert outcome.code is None, "refused without a reason"

    @precondition(lambda self: not self.closed and len(self.standing) > 1)
    @rule()
    def close(self) -> None:
        self.election.close()
        self.closed = True

    @invariant()
    def books_balance(self) -> None:
        if not hasattr(self, "room"):
            return
        counts = self.election.counts()
        assert counts.whole(), counts
        assert counts.issued == len(self.bearers)
        assert counts.used == len(self.standing)
        assert self.room.stored(list(self.answers)) == self.answers


@pytest.fixture
def env(database: Database, tmp_path: object, temporal: DevServer) -> Iterator[None]:
    Voting.database = database
    Voting.env = environment(database, temporal, tmp_path)  # type: ignore[arg-type]
    yield


def test_any_order_of_claims_and_casts(env: None) -> None:
    run_state_machine_as_test(
        Voting,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
