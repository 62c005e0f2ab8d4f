"""The same bytes are one vote with one answer; other bytes never get a second one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from tests.support.elections import MadeElection
from tests.support.engines import Engine
from tests.support.processes import eventually
from tests.support.voting import (
    OTHER_SELECTIONS,
    Door,
    assert_problem,
    at_once,
)
from votepyramid.protocol.verify import verify_receipt


def _rows(election: MadeElection, receipt_hash: str) -> int:
    found = election.count(
        "SELECT count(*) FROM vote_submissions WHERE receipt_hash = %s", receipt_hash
    )
    assert isinstance(found, int)
    return found


def test_a_vote_gets_a_receipt_that_verifies_offline(
    door: Door, election: MadeElection, voter: str
) -> None:
    ballot = door.ballot(voter)
    answer = door.cast(ballot)
    assert answer.status_code == 200, answer.text
    verify_receipt(
        answer.content,
        manifest=election.manifest,
        bearer=ballot.bearer,
        style="north",
        payload=ballot.sealed.payload,
    )
    assert _rows(election, ballot.receipt_hash) == 1
    assert election.events("vote_accepted", ballot.receipt_hash) == 1


def test_the_same_bytes_get_the_same_bytes_from_every_process(
    doors: list[Door], election: MadeElection, voter: str
) -> None:
    ballot = doors[0].ballot(voter)
    first = doors[0].cast(ballot)
    assert first.status_code == 200, first.text
    for door in doors * 2:
        again = door.cast(ballot)
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["Content-Type"] == "application/json"
        asked = door.receipt(ballot.receipt_hash)
        assert (asked.status_code, asked.content) == (200, first.content)
    assert _rows(election, ballot.receipt_hash) == 1


def test_the_same_bytes_fifty_times_at_once(
    doors: list[Door], election: MadeElection, voter: str
) -> None:
    ballot = doors[0].ballot(voter)
    answers = at_once(lambda number: doors[number % len(doors)].cast(ballot), range(50))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert _rows(election, ballot.receipt_hash) == 1
    assert election.events("vote_accepted", ballot.receipt_hash) == 1
    assert election.events("token_reused", ballot.receipt_hash) == 0


def test_another_ballot_is_audited_once_and_counted_after(
    doors: list[Door], election: MadeElection, voter: str
) -> None:
    ballot = doors[0].ballot(voter)
    first = doors[0].cast(ballot)
    for door in (*doors, *doors):
        other = door.seal(ballot.bearer, OTHER_SELECTIONS)
        assert_problem(door.cast(other), 409, "token_used")
        assert _rows(election, other.receipt_hash) == 0
    # The event names the vote that stands; the refused ones leave none.
    assert election.events("token_reused", ballot.receipt_hash) == 1
    assert (
        election.count(
            "SELECT reuse_count FROM vote_tokens t JOIN voters v ON v.ref = t.user "
            "WHERE v.voter_id = %s",
            voter,
        )
        == 4
    )
    assert doors[0].cast(ballot).content == first.content


def test_different_ballots_at_once_are_one_vote(
    doors: list[Door], election: MadeElection, voter: str
) -> None:
    bearer = doors[0].token(voter)
    ballots = [doors[0].seal(bearer) for _ in range(20)]
    answers = at_once(
        lambda number: doors[number % len(doors)].cast(ballots[number]), range(20)
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 19}
    for ballot, answer in zip(ballots, answers, strict=True):
        accepted = answer.status_code == 200
        assert _rows(election, ballot.receipt_hash) == accepted
        assert election.events("vote_accepted", ballot.receipt_hash) == accepted
        assert election.events("token_reused", ballot.receipt_hash) == accepted
        if not accepted:
            assert_problem(answer, 409, "token_used")


def test_a_copied_ciphertext_is_refused_and_its_token_stays_usable(
    doors: list[Door], election: MadeElection, voters: Iterator[str]
) -> None:
    original = doors[0].ballot(next(voters))
    assert doors[0].cast(original).status_code == 200
    bearer = doors[1].token(next(voters))
    for door in doors:
        answer = door.cast(original, token=str(bearer))
        assert_problem(answer, 409, "ballot_copied")
    own = doors[1].seal(bearer)
    assert doors[1].cast(own).status_code == 200


def test_a_ciphertext_and_its_copy_at_once_are_one_vote(
    doors: list[Door], voters: Iterator[str]
) -> None:
    original = doors[0].ballot(next(voters))
    thieves = [doors[0].token(next(voters)) for _ in range(5)]
    bodies = [original.body(), *(original.body(token=str(b)) for b in thieves)]
    answers = at_once(
        lambda number: doors[number % len(doors)].post(bodies[number]),
        range(len(bodies)),
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    for bearer, answer in zip(thieves, answers[1:], strict=True):
        if answer.status_code == 409:
            assert_problem(answer, 409, "ballot_copied")
            assert doors[0].cast(doors[0].seal(bearer)).status_code == 200


def test_the_same_bytes_after_every_process_was_restarted(
    engine: Engine, election: MadeElection, voter: str
) -> None:
    door = engine.doors(election)[0]
    ballot = door.ballot(voter)
    first = door.cast(ballot)
    engine.restart()
    for fresh in engine.doors(election):
        again = fresh.cast(ballot)
        assert (again.status_code, again.content) == (200, first.content)
        assert fresh.token(voter) == ballot.bearer


def test_the_same_bytes_after_close_and_grace(engine: Engine) -> None:
    election = engine.make_election(id="short", voters=2, grace=1)
    door = engine.doors(election)[0]
    ballot, late = door.ballot("v0"), door.ballot("v1")
    first = door.cast(ballot)
    election.close()
    time.sleep(1.1)
    for door in engine.doors(election):
        assert_problem(door.cast(late), 403, "election_closed")
        again = door.cast(ballot)
        assert (again.status_code, again.content) == (200, first.content)
        assert door.receipt(ballot.receipt_hash).content == first.content
    assert election.counts().accepted == 1


def test_every_use_of_a_token_is_one_vote_one_receipt_one_event(
    election: MadeElection,
) -> None:
    assert eventually(lambda: election.counts().whole())
    assert election.counts().accepted > 5
