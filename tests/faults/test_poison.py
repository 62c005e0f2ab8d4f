"""A vote or claim that the database refuses by itself, among others that are fine."""

from __future__ import annotations

import time

import pytest

from tests.support.elections import MadeElection
from tests.support.engines import Engine
from tests.support.faults import Console, poisoned
from tests.support.processes import eventually
from tests.support.together import cast_together
from tests.support.voting import Door, assert_problem, at_once
from votepyramid.votes.models import VoteSubmission
from workflows.messages import SubmitVotesInput

GROUP = 64
NAMES = iter(f"poison-{number}" for number in range(100))


@pytest.fixture
def election(calm: Engine) -> MadeElection:
    return calm.make_election(id=next(NAMES), voters=GROUP + 1)


@pytest.fixture
def door(calm: Engine, election: MadeElection) -> Door:
    return calm.doors(election)[0]


def _groups(console: Console, election: MadeElection) -> list[str]:
    return console.workflow_ids(
        f"WorkflowType = 'submit_votes' AND ElectionId = '{election.id}'"
    )


def test_one_poisoned_vote_among_63_good_ones(
    door: Door, election: MadeElection, console: Console
) -> None:
    decoy, *ballots = at_once(lambda n: door.ballot(f"v{n}"), range(GROUP + 1))
    bad = ballots[17]
    child = f"vote/{bad.receipt_hash}"
    with poisoned(
        election, VoteSubmission.__tablename__, "receipt_hash", bad.receipt_hash
    ) as mend:
        answers = cast_together(door, decoy, ballots)
        for ballot, (answer, seconds) in zip(ballots, answers, strict=True):
            if ballot is not bad:
                assert answer.status_code == 200, answer.text
                assert seconds < 2
        pending = answers[17][0]
        assert pending.status_code == 202, pending.text
        status_url = pending.json()["status_url"]
        assert pending.headers["Location"] == status_url
        assert pending.json()["receipt_hash"] == bad.receipt_hash
        assert int(pending.headers["Retry-After"]) >= 1

        # It travelled with the others, whose group has ended.
        groups = _groups(console, election)
        assert len(groups) == 2
        for group in groups:
            console.finished(group)
        sizes = [len(_votes(console, group).votes) for group in groups]
        assert sorted(sizes) == [1, GROUP]

        # It alone is visible, with what is the matter, and it is being retried.
        assert eventually(lambda: console.needing_attention() == [child])
        assert eventually(lambda: _attempts(console, child) >= 2)
        (activity,) = console.describe(child).pending_activities
        assert activity.activity_type.name == "record_votes"
        assert activity.last_failure.application_failure_info.type == "database"
        asked = door.http.get(status_url)
        assert (asked.status_code, asked.json()["status"]) == (202, "pending")
        # Sent again it joins itself.
        assert door.cast(bad).status_code == 202
        assert console.needing_attention() == [child]
        assert election.counts().used == GROUP
        mend()
        assert eventually(lambda: door.http.get(status_url).status_code == 200, 20)
    receipt = door.http.get(status_url)
    assert receipt.json()["status"] == "accepted"
    assert door.cast(bad).content == receipt.content
    console.finished(child)
    assert console.attention(child) is False
    assert eventually(lambda: console.needing_attention() == [])
    counts = election.counts()
    assert counts.whole() and counts.accepted == GROUP + 1


def _votes(console: Console, group: str) -> SubmitVotesInput:
    events = console.run(console.handle(group).fetch_history()).events
    payloads = events[0].workflow_execution_started_event_attributes.input.payloads
    converter = console.client.data_converter
    (decoded,) = console.run(converter.decode(payloads, [SubmitVotesInput]))
    assert isinstance(decoded, SubmitVotesInput)
    return decoded


def _attempts(console: Console, workflow_id: str) -> int:
    pending = console.describe(workflow_id).pending_activities
    return max((activity.attempt for activity in pending), default=0)


def test_a_poisoned_vote_that_an_operator_ends(
    door: Door, election: MadeElection, console: Console
) -> None:
    decoy, bad, good = (door.ballot(f"v{n}") for n in range(3))
    child = f"vote/{bad.receipt_hash}"
    with poisoned(
        election, VoteSubmission.__tablename__, "receipt_hash", bad.receipt_hash
    ):
        answers = [answer for answer, _ in cast_together(door, decoy, [bad, good])]
        assert [answer.status_code for answer in answers] == [202, 200]
        assert eventually(lambda: console.needing_attention() == [child])
        console.run(console.handle(child).terminate("by the election office"))
        assert console.status(child) == "TERMINATED"
        assert election.counts().used == 2
    # The token is as good as before: for the same bytes, or for other ones.
    assert door.cast(bad).status_code == 200
    assert election.counts().whole()


def test_a_poisoned_vote_with_nobody_beside_it(
    door: Door, election: MadeElection, console: Console
) -> None:
    bad, good = door.ballot("v0"), door.ballot("v1")
    child = f"vote/{bad.receipt_hash}"
    with poisoned(
        election, VoteSubmission.__tablename__, "receipt_hash", bad.receipt_hash
    ) as mend:
        # However often it is sent, it is one workflow; the groups it came in end.
        for _ in range(3):
            pending = door.cast(bad)
            assert pending.status_code == 202, pending.text
        assert eventually(lambda: console.needing_attention() == [child])
        for group in _groups(console, election):
            console.finished(group)
        # Whoever comes after is not held up by it.
        began = time.monotonic()
        assert door.cast(good).status_code == 200
        assert time.monotonic() - began < 2
        mend()
        receipt = door.insist(bad)
    assert door.cast(bad).content == receipt
    console.finished(child)
    assert console.attention(child) is False
    assert election.counts().whole()


def test_a_table_that_refuses_everybody(
    door: Door, election: MadeElection, console: Console
) -> None:
    """No vote's own fault: the group stays whole and is one thing to look at."""
    decoy, *ballots = at_once(lambda n: door.ballot(f"v{n}"), range(5))
    with poisoned(election, "vote_submissions", "election", election.id) as mend:
        answers = [answer for answer, _ in cast_together(door, decoy, ballots)]
        assert {answer.status_code for answer in answers} == {202}
        alone = f"vote/{decoy.receipt_hash}"
        assert eventually(lambda: len(console.needing_attention()) == 2)
        assert alone in console.needing_attention()
        mend()
        for ballot in (decoy, *ballots):
            door.insist(ballot)
    assert eventually(lambda: console.needing_attention() == [], 20)
    assert election.counts().whole()


def test_one_poisoned_claim_among_others(
    door: Door, election: MadeElection, console: Console
) -> None:
    ref = str(
        election.count(
            "SELECT ref FROM voters WHERE election = %s AND voter_id = 'v3'",
            election.id,
        )
    )
    child = f"claim/{ref}"
    with poisoned(election, "vote_tokens", "user", ref) as mend:
        answers = at_once(lambda n: door.claim(f"v{n}"), range(10))
        for number, answer in enumerate(answers):
            if number == 3:
                assert_problem(answer, 503, "unavailable")
                assert int(answer.headers["Retry-After"]) >= 1
            else:
                assert answer.status_code == 200, answer.text
        assert eventually(lambda: bool(console.needing_attention("CLAIM")))
        for _ in range(2):
            assert_problem(door.claim("v3"), 503, "unavailable")
        assert console.needing_attention("CLAIM") == [child]
        mend()
        assert eventually(lambda: door.claim("v3").status_code == 200, 20)
    tokens = {door.token("v3") for _ in range(3)}
    assert len(tokens) == 1
    assert eventually(lambda: console.needing_attention("CLAIM") == [], 20)
    counts = election.counts()
    assert counts.whole() and counts.issued == 10
