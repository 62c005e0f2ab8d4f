"""Claims: one token a voter however often they ask, and a reason for who gets none."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.elections import Listed, MadeElection
from tests.support.engines import Engine
from tests.support.scanning import database_texts, where
from tests.support.voting import Door, assert_problem, at_once
from tests.tokens.conftest import SOUTHERN, UNFIT
from votepyramid.protocol.encoding import b64u
from votepyramid.protocol.identifiers import token_id
from votepyramid.tokens.service import pseudonym


def _tokens(election: MadeElection, voter: str) -> int:
    found = election.count(
        "SELECT count(*) FROM vote_tokens t JOIN voters v ON v.ref = t.user "
        "WHERE v.election = %s AND v.voter_id = %s",
        election.id,
        voter,
    )
    assert isinstance(found, int)
    return found


def _events(election: MadeElection, kind: str, voter: str) -> int:
    subject = b64u(pseudonym(election.keys, election.id, voter))
    return election.events(kind, subject)


def test_a_claim_says_all_that_sealing_needs(
    door: Door, election: MadeElection, voter: str
) -> None:
    answer = door.claim(voter)
    assert answer.status_code == 200, answer.text
    assert "no-store" in answer.headers["Cache-Control"]
    bearer = uuid.UUID(answer.json()["token"])
    assert answer.json() == {
        "token": str(bearer),
        "style": "north",
        "manifest_hash": election.m.hex(),
    }
    row = election.count(
        "SELECT (t.token, t.policy_hash = e.policy_hash, t.roster_version, "
        "t.used)::text FROM vote_tokens t JOIN voters v ON v.ref = t.user "
        "JOIN elections e ON e.id = t.election WHERE v.voter_id = %s",
        voter,
    )
    assert row == f"({token_id(election.id, election.m, bearer)},t,1,f)"


def test_repeated_claims_one_by_one(
    doors: list[Door], election: MadeElection, voter: str
) -> None:
    tokens = {door.token(voter) for door in doors * 5}
    assert len(tokens) == 1
    assert _tokens(election, voter) == 1
    assert _events(election, "token_issued", voter) == 1


def test_fifty_claims_at_once(
    doors: list[Door], election: MadeElection, voters: Iterator[str]
) -> None:
    voter, bystander = next(voters), next(voters)
    asked = [voter] * 50 + [bystander] * 4
    tokens = at_once(
        lambda number: doors[number % len(doors)].token(asked[number]),
        range(len(asked)),
    )
    assert len(set(tokens[:50])) == len(set(tokens[50:])) == 1
    assert len(set(tokens)) == 2
    for one in (voter, bystander):
        assert _tokens(election, one) == 1
        assert _events(election, "token_issued", one) == 1


def test_a_claim_after_the_vote_gives_the_same_token(door: Door, voter: str) -> None:
    ballot = door.ballot(voter)
    first = door.cast(ballot)
    assert door.token(voter) == ballot.bearer
    assert door.cast(ballot).content == first.content


@pytest.mark.parametrize("reason", [*UNFIT, "not_on_roster", "wrong_precinct"])
def test_who_is_not_eligible_is_told_why(
    reason: str, doors: list[Door], election: MadeElection, voters: Iterator[str]
) -> None:
    style = "south" if reason == "wrong_precinct" else None
    if reason in UNFIT:
        voter = UNFIT[reason].voter_id
    else:
        voter = "stranger" if reason == "not_on_roster" else next(voters)
    answers = [door.claim(voter, style) for door in doors * 2]
    answers += at_once(lambda door: door.claim(voter, style), doors * 5)
    for answer in answers:
        document = assert_problem(answer, 403, "not_eligible")
        assert document["reason"] == reason
        assert voter not in json.dumps(document)
    assert _tokens(election, voter) == 0
    assert _events(election, "claim_refused", voter) == 1
    subject = pseudonym(election.keys, election.id, voter)
    detail = election.count(
        "SELECT detail FROM audit_events WHERE kind = 'claim_refused' AND subject = %s",
        b64u(subject),
    )
    assert detail == {"reason": reason}
    counted = election.count(
        "SELECT count FROM claim_refusals WHERE pseudonym = %s AND reason = %s",
        subject,
        reason,
    )
    # Claims that travelled as one count as one.
    assert len(doors) * 2 <= counted <= len(answers)


def test_a_refused_style_does_not_cost_the_right_one(door: Door, voter: str) -> None:
    document = assert_problem(door.claim(voter, "south"), 403, "not_eligible")
    assert document["reason"] == "wrong_precinct"
    assert door.claim(voter, "north").status_code == 200
    # Asked again for another style, the token that was issued stands.
    assert door.claim(voter).json()["style"] == "north"


def test_the_style_is_that_of_the_precinct(door: Door) -> None:
    answer = door.claim(SOUTHERN.voter_id)
    assert answer.json()["style"] == "south"
    ballot = door.seal(uuid.UUID(answer.json()["token"]), style="south")
    assert_problem(door.cast(ballot, style="north"), 422, "style_mismatch")
    assert door.cast(ballot).status_code == 200


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer x", "Basic dTpw", "Bearer {good}x", "Bearer {good} x"],
)
def test_who_is_not_signed_in(header: str | None, door: Door, voter: str) -> None:
    good = door.election.jwt(voter)
    headers = {} if header is None else {"Authorization": header.format(good=good)}
    answer = door.http.post(door.path("tokens/claim/"), json={}, headers=headers)
    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert good not in answer.text


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"style":null}', b'{"style":""}', b'{"style":1}', b'{"voter":"x"}'],
)
def test_a_body_that_is_no_claim(body: bytes, door: Door, voter: str) -> None:
    answer = door.http.post(
        door.path("tokens/claim/"),
        content=body,
        headers={
            "Authorization": f"Bearer {door.election.jwt(voter)}",
            "Content-Type": "application/json",
        },
    )
    assert_problem(answer, 400, "malformed")


def test_a_claim_for_an_unknown_election(door: Door, voter: str) -> None:
    assert_problem(door.claim(voter, election="other"), 404, "election_unknown")


def test_a_body_over_the_limit(door: Door, voter: str) -> None:
    assert_problem(door.claim(voter, style="n" * 5000), 413, "too_large")


def test_claiming_too_often(engine: Engine) -> None:
    rate = {"claims_per_voter_per_minute": 3}
    election = engine.make_election(id="limited", voters=2, rate=rate)
    door = engine.doors(election)[0]
    assert len({door.token("v0") for _ in range(3)}) == 1
    answer = door.claim("v0")
    assert_problem(answer, 429, "rate_limited")
    assert int(answer.headers["Retry-After"]) >= 1
    assert door.claim("v1").status_code == 200


def test_no_bearer_is_stored(
    doors: list[Door], election: MadeElection, voters: Iterator[str]
) -> None:
    claimed = [doors[0].ballot(next(voters)) for _ in range(3)]
    assert doors[0].cast(claimed[0]).status_code == 200
    assert_problem(doors[0].cast(claimed[1], style="south"), 422, "style_mismatch")
    texts = list(database_texts(election.database.owner_url))
    for ballot in claimed:
        assert where(ballot.bearer, texts) == set()
    # The same search finds what is there.
    shown = token_id(election.id, election.m, claimed[0].bearer)
    assert where(shown, texts) == {"table vote_tokens"}
    waiting = {"table vote_submissions", "table log_queue"}
    assert where(claimed[0].sealed.t, texts) == waiting


class TestLateChanges:
    """The roster changes between claim and cast."""

    def test_recheck(self, engine: Engine) -> None:
        election = engine.make_election(id="recheck", voters=3)
        door = engine.doors(election)[0]
        ballots = [door.ballot(f"v{n}") for n in range(3)]
        fine = _roster(3)
        election.import_roster([_suspend(fine[0]), fine[2]])
        for ballot, reason in zip(
            ballots, ("suspended", "not_on_roster"), strict=False
        ):
            for _ in range(2):
                answer = door.cast(ballot)
                document = assert_problem(answer, 403, "voter_not_eligible")
                assert document["reason"] == reason
        assert door.cast(ballots[2]).status_code == 200
        counts = election.counts()
        assert (counts.accepted, counts.rejected, counts.used) == (1, 2, 1)
        assert counts.events["vote_refused"] == 2
        # Reinstated: the very bytes that were refused are accepted.
        election.import_roster(fine)
        for ballot in ballots[:2]:
            answer = door.cast(ballot)
            assert answer.status_code == 200, answer.text
            assert door.receipt(ballot.receipt_hash).content == answer.content
        assert election.counts().whole()

    def test_honour(self, engine: Engine) -> None:
        election = engine.make_election(id="honour", voters=2, late_changes="honour")
        door = engine.doors(election)[0]
        ballot = door.ballot("v0")
        fine = _roster(2)
        election.import_roster([_suspend(one) for one in fine])
        assert door.cast(ballot).status_code == 200
        document = assert_problem(door.claim("v1"), 403, "not_eligible")
        assert document["reason"] == "suspended"


def _roster(size: int) -> list[Listed]:
    return [Listed(f"v{number}") for number in range(size)]


def _suspend(one: Listed) -> Listed:
    return replace(one, suspended=True)


def test_a_revoked_token(engine: Engine) -> None:
    election = engine.make_election(id="revoked", voters=1)
    door = engine.doors(election)[0]
    ballot = door.ballot("v0")
    with election.sql() as db:
        db.execute("UPDATE vote_tokens SET revoked_at = now() WHERE election='revoked'")
    assert_problem(door.cast(ballot), 403, "token_revoked")
    # Asking again issues no other, and is audited once and counted.
    for _ in range(3):
        document = assert_problem(door.claim("v0"), 403, "token_revoked")
        assert "reason" not in document
    assert election.counts().issued == 1
    assert _events(election, "claim_refused", "v0") == 1
    subject = pseudonym(election.keys, election.id, "v0")
    counted = "SELECT reason, count FROM claim_refusals WHERE pseudonym = %s"
    with election.sql() as db:
        assert db.execute(counted, (subject,)).fetchall() == [("token_revoked", 3)]


def test_claims_after_close(engine: Engine) -> None:
    election = engine.make_election(id="over", voters=2, grace=0)
    door = engine.doors(election)[0]
    ballot = door.ballot("v0")
    first = door.cast(ballot)
    election.close()
    time.sleep(0.1)
    for voter in ("v0", "v1"):
        assert_problem(door.claim(voter), 403, "election_closed")
    assert door.cast(ballot).content == first.content
    # What was counted is written at the latest when the process leaves.
    engine.restart()
    counted = "SELECT (detail ->> 'count')::int FROM audit_events WHERE election = %s "
    counted += "AND kind = 'untimely_claims_refused'"
    assert election.count(counted, election.id) == 2
