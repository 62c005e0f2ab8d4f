"""Whoever is inside an election while it is finished: seen by it, or too late."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.receipts.conftest import Office
from tests.receipts.ends import closed, opened, refused
from tests.receipts.reading import Reader, cast
from tests.support import sequencing
from tests.support.elections import MadeElection
from tests.support.engines import Engine
from tests.support.faults import token_held, wait_until_blocked
from tests.support.processes import eventually
from tests.support.voting import Door, assert_problem
from votepyramid.elections import service
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.elections.finishing import NotYet
from votepyramid.elections.service import ElectionView
from votepyramid.protocol.encoding import b64u
from votepyramid.tokens import service as tokens
from workflows.messages import Claim, ClaimVerdict


@pytest.fixture
def reader(engine: Engine, election: MadeElection) -> Reader:
    return Reader(engine.doors(election)[0])


@pytest.fixture
def door(reader: Reader) -> Door:
    return reader.door


def soon(office: Office, election: MadeElection) -> Callable[[], None]:
    """A sequencer that is done before a held vote's voter is answered."""
    return partial(sequencing.once, election, office.folder)


def test_a_vote_under_way_is_waited_for(door: Door, election: MadeElection) -> None:
    ballot = door.ballot("v0")
    with token_held(election, ballot.bearer):
        # Its voter is told 202: a promise that the election stays for.
        assert door.cast(ballot).status_code == 202
        closed(election)
        refused(election, "1 votes .* still under way")
    assert eventually(lambda: door.receipt(ballot.receipt_hash).status_code == 200, 20)


def _cast_soon(door: Door, ballot: Any, pool: ThreadPoolExecutor) -> Any:
    sent = pool.submit(door.cast, ballot)
    wait_until_blocked(door.election)
    return sent


def test_a_vote_that_comes_through_after_the_finish_is_not_recorded(
    office: Office, door: Door, election: MadeElection
) -> None:
    """It stands before its token while the election is finished, promised nothing."""
    ballot = door.ballot("v0")
    with ThreadPoolExecutor() as pool, token_held(election, ballot.bearer) as release:
        sent = _cast_soon(door, ballot, pool)
        closed(election)
        said = opened(election, election.finish(soon(office, election)))
        release()
        assert_problem(sent.result(), 403, "election_closed")
    assert (said.issued, said.used, said.votes) == (1, 0, 0)
    assert election.counts().accepted == 0 and election.counts().used == 0
    assert_problem(door.cast(ballot), 403, "election_closed")
    assert_problem(door.receipt(ballot.receipt_hash), 404, "receipt_unknown")


def test_nobody_is_promised_an_answer_after_the_finish(
    office: Office, door: Door, election: MadeElection
) -> None:
    """The 202 of a vote that is still held when its voter has waited long enough."""
    ballot = door.ballot("v0")
    with ThreadPoolExecutor() as pool, token_held(election, ballot.bearer) as release:
        sent = _cast_soon(door, ballot, pool)
        closed(election)
        election.finish(soon(office, election))
        # Held until then.
        assert_problem(sent.result(), 503, "unavailable")
        release()
    assert_problem(door.cast(ballot), 403, "election_closed")
    assert eventually(
        lambda: (
            election.count(
                "SELECT count(*) FROM vote_groups WHERE election = %s "
                "AND outcome IS NULL",
                election.id,
            )
            == 0
        )
    )


@pytest.mark.parametrize("inside", ["vote_submissions", "vote_tokens", "vote_groups"])
def test_the_finish_waits_for_whoever_is_inside(
    office: Office, engine: Engine, inside: str
) -> None:
    """A transaction that issues, records or promises, begun before and not done."""
    election = engine.make_election(id=f"inside-{inside.replace('_', '-')}", voters=3)
    reader = Reader(engine.doors(election)[0])
    (ballot,) = cast(reader, 0)
    office.sequence()
    closed(election)
    with pytest.raises(NotYet):
        election.finish()
    office.sequence()
    with psycopg.connect(election.database.owner_url) as db:
        db.execute(_INSIDE[inside], {"e": election.id, "r": ballot.receipt_hash})
        done: list[Any] = []

        def finish() -> None:
            try:
                done.append(opened(election, election.finish()))
            except CeremonyError as error:
                done.append(error)

        thread = threading.Thread(target=finish)
        thread.start()
        wait_until_blocked(election, program="votepyramid")
        assert not done
        db.commit()
        thread.join()
    # It has seen what was done inside.
    if inside == "vote_tokens":
        assert done[0].issued == 2
    else:
        assert isinstance(done[0], CeremonyError)
        with election.sql() as again:
            again.execute("DELETE FROM log_queue WHERE election = %s", (election.id,))


_INSIDE = {
    "vote_submissions": (
        "INSERT INTO vote_submissions (id, election, tag, ciphertext_hash, "
        "ballot_snapshot, receipt_hash, status, receipt) "
        "SELECT gen_random_uuid(), election, sha256('t'), sha256('c'), "
        "ballot_snapshot, encode(sha256('r'), 'hex'), status, receipt "
        "FROM vote_submissions WHERE receipt_hash = %(r)s AND election = %(e)s"
    ),
    "vote_tokens": (
        'INSERT INTO vote_tokens (token, "user", election, style, policy_hash, '
        "roster_version) SELECT gen_random_uuid(), ref, election, 'north', 'p', 1 "
        "FROM voters WHERE election = %(e)s AND voter_id = 'v2'"
    ),
    "vote_groups": (
        "INSERT INTO vote_groups (receipt_hash, election, group_id, held_by) "
        "VALUES ('promised in ' || %(e)s, %(e)s, 'g', '{g}')"
    ),
}


def test_the_database_lets_nothing_in_after_the_finish(
    office: Office, reader: Reader, election: MadeElection
) -> None:
    (ballot,) = cast(reader, 0)
    with election.sql() as db:
        db.execute("DELETE FROM log_queue WHERE election = %s", (election.id,))
        db.execute("DELETE FROM vote_submissions WHERE election = %s", (election.id,))
        db.execute(
            "UPDATE vote_groups SET outcome = 'ended' WHERE election = %s",
            (election.id,),
        )
        db.execute("ALTER TABLE vote_tokens DISABLE TRIGGER USER")
        db.execute("UPDATE vote_tokens SET used = false")
        db.execute("ALTER TABLE vote_tokens ENABLE TRIGGER USER")
    closed(election)
    election.finish(office.sequence)
    values = {"e": election.id, "r": ballot.receipt_hash}
    again = (
        "UPDATE vote_groups SET outcome = NULL, held_by = '{g}' "
        "WHERE receipt_hash = %(r)s AND election = %(e)s"
    )
    vote = (
        "INSERT INTO vote_submissions (id, election, tag, ciphertext_hash, "
        "ballot_snapshot, receipt_hash, status, receipt) VALUES (gen_random_uuid(), "
        "%(e)s, sha256('t'), sha256('c'), '{}', %(r)s, 'accepted', 'x')"
    )
    with election.sql() as db:
        for statement in (
            vote,
            _INSIDE["vote_tokens"],
            _INSIDE["vote_groups"],
            again,
        ):
            with pytest.raises(errors.SerializationFailure, match="is finished"):
                db.execute(statement, values)
        # What was decided can still be noted, and other elections go on.
        db.execute(
            "UPDATE vote_groups SET outcome = 'x' WHERE receipt_hash = %(r)s", values
        )


def _issue(election: MadeElection, view: ElectionView, voter: Any) -> Any:
    claim = Claim(
        key="key",
        voter=str(voter),
        pseudonym=b64u(bytes(32)),
        style=None,
        arrived_at=f"{view.opens_at.isoformat()}",
    )
    verdict = ClaimVerdict("key", None, "north", 1)
    return tokens.issue(
        election.engine, election.keys, view, "claims/late", [claim], [verdict]
    )[0]


def test_a_claim_that_comes_through_after_the_finish_is_not_issued(
    office: Office, election: MadeElection
) -> None:
    closed(election)
    with election.engine.connect() as connection:
        before = service.get(connection, election.id)
        voter = connection.execute(
            text("SELECT ref FROM voters WHERE election = :e AND voter_id = 'v0'"),
            {"e": election.id},
        ).scalar_one()
    said = opened(election, election.finish(office.sequence))
    # It read "closed" just before; the step is done again, and sees the end.
    with pytest.raises(OperationalError, match="is finished"):
        _issue(election, before, voter)
    with election.engine.connect() as connection:
        after = service.get(connection, election.id)
    assert _issue(election, after, voter).code == "election_closed"
    assert said.issued == election.counts().issued == 0
    assert "claim_refused" not in election.counts().events
