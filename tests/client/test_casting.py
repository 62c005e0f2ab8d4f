"""Casting over a network that fails in every way: same bytes, one answer."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.client import scripted
from tests.client.scripted import BallotBox, ScriptedServer
from votepyramid.client.ballots import SealedBallot
from votepyramid.client.errors import (
    CastRefused,
    ElectionUnreachable,
    ReceiptInvalid,
    UnexpectedAnswer,
)
from votepyramid.client.policy import RetryPolicy
from votepyramid.protocol import notes


def _one_body(server: ScriptedServer, times: int) -> None:
    bodies = [seen.body for seen in server.requests("/vote/")]
    assert len(bodies) == times
    assert len(set(bodies)) == 1


def test_a_cast_gives_the_verified_receipt(
    voter: Any, ballot: SealedBallot, box: BallotBox, server: ScriptedServer
) -> None:
    receipt = voter.cast(ballot)
    assert receipt.receipt_hash == ballot.receipt_hash
    assert receipt.answer == box.answers[ballot.receipt_hash]
    assert voter.waits == []


@pytest.mark.parametrize(
    "trouble",
    [
        scripted.drop,
        scripted.cut_short,
        scripted.plain(500),
        scripted.plain(502, b"<html>bad gateway</html>"),
        scripted.plain(504),
        scripted.problem(500, "internal"),
        scripted.problem(503, "unavailable"),
        scripted.problem(429, "rate_limited"),
    ],
)
def test_trouble_is_answered_with_the_same_bytes(
    voter: Any, ballot: SealedBallot, server: ScriptedServer, trouble: Any
) -> None:
    server.script = [trouble, trouble, trouble]
    assert voter.cast(ballot).receipt_hash == ballot.receipt_hash
    _one_body(server, 4)
    assert len(voter.waits) == 3


def test_an_answer_lost_on_the_way_is_asked_for_again(
    voter: Any, ballot: SealedBallot, server: ScriptedServer, box: BallotBox
) -> None:
    def record_and_drop(handler: scripted.Handler) -> None:
        box.record(handler.body)
        scripted.drop(handler)

    server.script = [record_and_drop]
    assert voter.cast(ballot).answer == box.answers[ballot.receipt_hash]
    _one_body(server, 2)


def test_an_idle_connection_that_was_closed_is_no_failure(
    voter: Any, ballot: SealedBallot, server: ScriptedServer, box: BallotBox
) -> None:
    def answer_and_hang_up(handler: scripted.Handler) -> None:
        box.serve(handler)
        handler.close_connection = True

    server.script = [answer_and_hang_up]
    first = voter.cast(ballot).answer
    time.sleep(0.05)
    assert voter.cast(ballot).answer == first
    assert voter.waits == []


def test_retry_after_is_a_least_wait(
    voter: Any, ballot: SealedBallot, server: ScriptedServer
) -> None:
    server.script = [scripted.problem(503, "overloaded", Retry_After="1")]
    voter.cast(ballot)
    (wait,) = voter.waits
    # The policy of these tests cuts a second to its bound of 0.2.
    assert 0.2 <= wait.seconds <= 0.21
    assert "overloaded" in wait.reason


def test_a_dead_server_is_reported_with_what_to_do(
    make_voter: Any, server: ScriptedServer, ballot: SealedBallot
) -> None:
    voter = make_voter(policy=RetryPolicy(deadline=0.3, base=0.05, cap=0.1))
    server.otherwise = scripted.drop
    started = time.monotonic()
    with pytest.raises(ElectionUnreachable) as refused:
        voter.cast(ballot)
    assert time.monotonic() - started < 1.0
    assert "Run the same command again" in refused.value.advice
    assert len(server.requests("/vote/")) >= 3


def test_nobody_listens(make_voter: Any, ballot: SealedBallot) -> None:
    class Nowhere:
        url = "http://127.0.0.1:9"

    voter = make_voter(policy=RetryPolicy(deadline=0.2, base=0.05, cap=0.1))
    other = type(voter)(Nowhere(), _box_of(voter), policy=voter.client._policy)
    with pytest.raises(ElectionUnreachable, match="connect"):
        other.cast(ballot)
    other.close()


def _box_of(voter: Any) -> Any:
    class Pins:
        vkey = voter.client._authority_vkey
        signed = voter.client.manifest().signed

    return Pins()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "election_closed"),
        (403, "token_unknown"),
        (409, "token_used"),
        (409, "ballot_copied"),
        (413, "too_large"),
        (422, "ballot_length"),
    ],
)
def test_a_typed_refusal_is_final(
    voter: Any, ballot: SealedBallot, server: ScriptedServer, status: int, code: str
) -> None:
    server.script = [scripted.problem(status, code)]
    with pytest.raises(CastRefused) as refused:
        voter.cast(ballot)
    assert (refused.value.code, refused.value.status) == (code, status)
    assert len(server.seen) == 1


def test_a_pending_vote_is_asked_for_where_we_computed_it(
    voter: Any, ballot: SealedBallot, server: ScriptedServer, box: BallotBox
) -> None:
    with scripted.serving(scripted.plain(200)) as foreign:

        def elsewhere(handler: scripted.Handler) -> None:
            box.record(handler.body)
            scripted.pending(handler, foreign.url + "/steal/")

        server.script = [elsewhere, lambda h: scripted.pending(h, foreign.url)]
        assert voter.cast(ballot).answer == box.answers[ballot.receipt_hash]
        assert foreign.seen == []
    paths = [seen.path for seen in server.seen]
    own = f"/api/elections/demo/receipt/{ballot.receipt_hash}/"
    assert paths == ["/api/elections/demo/vote/", own, own]


def test_a_pending_vote_that_got_lost_is_sent_again(
    voter: Any, ballot: SealedBallot, server: ScriptedServer
) -> None:
    server.script = [scripted.pending, scripted.problem(404, "receipt_unknown")]
    assert voter.cast(ballot).receipt_hash == ballot.receipt_hash
    _one_body(server, 2)


def test_a_pending_vote_that_is_rejected(
    voter: Any, ballot: SealedBallot, server: ScriptedServer
) -> None:
    rejected = {
        "receipt_hash": ballot.receipt_hash,
        "status": "rejected",
        "code": "ballot_copied",
    }
    server.script = [
        scripted.pending,
        scripted.plain(200, json.dumps(rejected).encode()),
    ]
    with pytest.raises(CastRefused) as refused:
        voter.cast(ballot)
    assert refused.value.code == "ballot_copied"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(
    voter: Any, ballot: SealedBallot, server: ScriptedServer, status: int
) -> None:
    with scripted.serving(scripted.plain(200)) as foreign:
        server.script = [scripted.plain(status, Location=foreign.url + "/vote/")]
        with pytest.raises(UnexpectedAnswer, match=str(status)):
            voter.cast(ballot)
        assert foreign.seen == []


@pytest.mark.parametrize(
    "garbage", [b"", b"<html>Sign in to the hotel</html>", b"[]", b"{}", b"\xff" * 99]
)
def test_garbage_is_no_receipt(
    voter: Any, ballot: SealedBallot, server: ScriptedServer, garbage: bytes
) -> None:
    server.script = [scripted.plain(200, garbage)]
    with pytest.raises(ReceiptInvalid) as invalid:
        voter.cast(ballot)
    assert invalid.value.check == "answer"
    assert invalid.value.answer == garbage


def test_another_voters_receipt_is_refused(
    voter: Any, ballot: SealedBallot, server: ScriptedServer, box: BallotBox
) -> None:
    body = json.loads(json.dumps(ballot.body()))
    body["token"] = "11111111-2222-8333-8444-555555555555"
    clash = box.record(json.dumps(body).encode())
    server.script = [scripted.plain(200, clash)]
    with pytest.raises(ReceiptInvalid) as invalid:
        voter.cast(ballot)
    assert invalid.value.check == "token"


def test_a_receipt_for_other_bytes_is_refused(
    voter: Any, ballot: SealedBallot, server: ScriptedServer, box: BallotBox
) -> None:
    body = ballot.body() | {"payload": "A" * len(ballot.body()["payload"])}
    server.script = [scripted.plain(200, box.record(json.dumps(body).encode()))]
    with pytest.raises(ReceiptInvalid) as invalid:
        voter.cast(ballot)
    assert invalid.value.check == "ciphertext"


def test_a_receipt_signed_by_another_key_is_refused(
    voter: Any, ballot: SealedBallot, server: ScriptedServer, box: BallotBox
) -> None:
    forged = notes.generate("box.example")
    server.script = [lambda h: h.answer(200, box.record(h.body, forged))]
    with pytest.raises(ReceiptInvalid) as invalid:
        voter.cast(ballot)
    assert invalid.value.check == "signature"


def test_an_endless_body_is_cut_off(
    voter: Any, ballot: SealedBallot, server: ScriptedServer
) -> None:
    server.script = [scripted.endless]
    with pytest.raises(UnexpectedAnswer, match="more than 65536 bytes"):
        voter.cast(ballot)


def test_a_dripping_body_runs_out_of_time(
    make_voter: Any, ballot: SealedBallot, server: ScriptedServer
) -> None:
    voter = make_voter(timeout=0.4)
    server.script = [scripted.drip]
    started = time.monotonic()
    assert voter.cast(ballot).receipt_hash == ballot.receipt_hash
    assert time.monotonic() - started < 2.0


def test_the_name_and_the_ballot_take_different_ways(
    voter: Any, server: ScriptedServer, box: BallotBox
) -> None:
    def claim_with_cookie(handler: scripted.Handler) -> None:
        handler.answer(
            200, json.dumps(box.claimed()).encode(), Set_Cookie="who=alice; Path=/"
        )

    server.script = [claim_with_cookie]
    voter.cast(voter.seal(voter.claim(), {"mayor": [["c1"], ["c3"]]}))
    claim, vote = server.requests("/claim/")[0], server.requests("/vote/")[0]
    assert claim.headers["authorization"] == f"Bearer {scripted.JWT}"
    assert claim.port != vote.port
    assert "authorization" not in vote.headers
    assert "cookie" not in vote.headers
