"""A token that is revoked: before its ballot arrives, and while that is on its way."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import psycopg

from tests.support.elections import MadeElection
from tests.support.engines import Engine
from tests.support.faults import wait_until_blocked
from tests.support.voting import Ballot, Door, assert_problem
from votepyramid.protocol.identifiers import token_id

REVOKE = "UPDATE vote_tokens SET revoked_at = now() WHERE token = %s"


def _d(ballot: Ballot, election: MadeElection) -> object:
    return token_id(election.id, election.m, ballot.bearer)


def _refusals(election: MadeElection, receipt_hash: str) -> int:
    found = election.count(
        "SELECT count(*) FROM audit_events WHERE kind = 'vote_refused' "
        "AND subject = %s AND detail ->> 'code' = 'token_revoked'",
        receipt_hash,
    )
    assert isinstance(found, int)
    return found


def test_a_token_revoked_between_check_and_record(
    door: Door, election: MadeElection, voter: str
) -> None:
    ballot = door.ballot(voter)
    before = election.counts()
    with (
        ThreadPoolExecutor(1) as thread,
        psycopg.connect(election.database.owner_url) as db,
    ):
        db.execute(REVOKE, (_d(ballot, election),))
        # The check still sees the token as it was; recording waits for its row.
        cast = thread.submit(door.cast, ballot)
        wait_until_blocked(election)
        db.commit()
        assert_problem(cast.result(), 403, "token_revoked")
    assert _refusals(election, ballot.receipt_hash) == 1
    after = election.counts()
    assert (after.used, after.accepted, after.rejected) == (
        before.used,
        before.accepted,
        before.rejected,
    )


def test_refusals_under_a_revoked_token_are_audited_up_to_a_bound(
    engine: Engine,
) -> None:
    rate = {"rejected_ballots_per_token": 3}
    election = engine.make_election(id="revoked-often", voters=1, rate=rate)
    door = engine.doors(election)[0]
    ballots = [door.ballot("v0") for _ in range(5)]
    with election.sql() as db:
        db.execute(REVOKE, (_d(ballots[0], election),))
    for ballot in ballots:
        document = assert_problem(door.cast(ballot), 403, "token_revoked")
        assert str(ballot.bearer) not in json.dumps(document)
    written = [_refusals(election, ballot.receipt_hash) for ballot in ballots]
    assert written == [1, 1, 1, 0, 0]
    assert (election.counts().used, election.counts().rejected) == (0, 0)
