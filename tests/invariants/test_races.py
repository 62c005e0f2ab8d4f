"""Many workers on the same votes and claims, in other orders, at the same time."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.invariants.engine_room import EngineRoom
from tests.support.databases import Database
from tests.support.elections import MadeElection, make_election
from tests.support.processes import environment
from tests.support.voting import OTHER_SELECTIONS, SELECTIONS, at_once
from votepyramid.errors import Code
from votepyramid.protocol.ballot import seal_ballot
from votepyramid.protocol.suites import X25519
from votepyramid.stack.devserver import DevServer
from workflows import messages as m

THREADS = 8
VOTERS = 24


@pytest.fixture
def election(database: Database, temporal: DevServer, tmp_path: Path) -> MadeElection:
    env = environment(database, temporal, tmp_path)
    return make_election(database, env, voters=VOTERS, suite=X25519.id)


@pytest.fixture
def room(election: MadeElection) -> Iterator[EngineRoom]:
    made = EngineRoom(election, pool_size=THREADS)
    yield made
    made.dispose()


def _bearers(room: EngineRoom) -> list[uuid.UUID]:
    found = room.claim([(f"v{number}", None) for number in range(VOTERS)])
    assert all(isinstance(one, uuid.UUID) for one in found)
    return [one for one in found if isinstance(one, uuid.UUID)]


def _vote(
    room: EngineRoom, bearer: uuid.UUID, selections: dict[str, list[list[str]]]
) -> m.CastVote:
    manifest = room.election.manifest
    return room.arrive(bearer, seal_ballot(manifest, "north", bearer, selections)).vote


@pytest.mark.parametrize("seed", range(3))
def test_groups_that_share_their_votes(room: EngineRoom, seed: int) -> None:
    votes = [_vote(room, bearer, SELECTIONS) for bearer in _bearers(room)]
    chance = random.Random(seed)
    groups = [
        chance.sample(votes, chance.randint(VOTERS // 2, VOTERS))
        for _ in range(THREADS * 3)
    ]
    results = [
        outcome
        for third in range(3)
        for outcomes in at_once(room.submit, groups[third * THREADS :][:THREADS])
        for outcome in outcomes
    ]
    assert {outcome.code for outcome in results} == {None}
    stored = Counter(
        outcome.receipt_hash for outcome in results if outcome.storage == "stored"
    )
    assert set(stored.values()) == {1}
    counts = room.election.counts()
    assert counts.whole() and counts.accepted == len(stored)
    assert set(counts.events) >= {"vote_accepted"} and "token_reused" not in (
        counts.events
    )


@pytest.mark.parametrize("seed", range(3))
def test_rival_ballots_under_the_same_tokens(room: EngineRoom, seed: int) -> None:
    bearers = _bearers(room)
    votes = [
        _vote(room, bearer, selections)
        for bearer in bearers
        for selections in (SELECTIONS, OTHER_SELECTIONS)
    ]
    chance = random.Random(seed)
    groups = [chance.sample(votes, len(votes)) for _ in range(THREADS)]
    final: dict[str, set[str | None]] = {}
    for outcomes in at_once(room.submit, groups):
        for outcome in outcomes:
            final.setdefault(outcome.receipt_hash, set()).add(outcome.code)
    # Whoever looks, and whenever: a ballot is accepted or it is not.
    assert all(len(codes) == 1 for codes in final.values())
    verdicts = Counter(code for codes in final.values() for code in codes)
    assert verdicts == {None: len(bearers), str(Code.TOKEN_USED): len(bearers)}
    counts = room.election.counts()
    assert counts.whole() and counts.accepted == len(bearers)
    # Reuse is audited once a token, however many times it was tried.
    assert counts.events["token_reused"] == len(bearers)


@pytest.mark.parametrize("seed", range(3))
def test_claims_that_share_their_voters(room: EngineRoom, seed: int) -> None:
    chance = random.Random(seed)
    names = [(f"v{number}", None) for number in range(VOTERS)]
    groups = [chance.sample(names, VOTERS) for _ in range(THREADS)]
    bearers: dict[str, set[object]] = {}
    for group, found in zip(groups, at_once(room.claim, groups), strict=True):
        for (voter, _), bearer in zip(group, found, strict=True):
            bearers.setdefault(voter, set()).add(bearer)
    assert all(len(one) == 1 for one in bearers.values())
    assert len(set.union(*bearers.values())) == VOTERS
    counts = room.election.counts()
    assert counts.whole() and counts.issued == VOTERS
