"""Pinning the manifest and claiming a token."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.client import scripted
from tests.client.conftest import QUICK
from tests.client.scripted import JWT, TOKEN, BallotBox, ScriptedServer
from votepyramid.client.ballots import Token
from votepyramid.client.errors import (
    ChoicesError,
    ClaimRefused,
    ManifestRejected,
    ReceiptUnknown,
    Refused,
    UnexpectedAnswer,
)
from votepyramid.client.sdk import VotingClient
from votepyramid.protocol.manifest import sign_manifest


def _client(server: ScriptedServer, election: str = "demo", **pins: Any) -> Any:
    return VotingClient(server.url, election, policy=QUICK, **pins)


def test_the_manifest_is_fetched_once(server: ScriptedServer, box: BallotBox) -> None:
    with _client(server, authority_vkey=box.vkey) as client:
        assert client.manifest().m == box.m
        assert client.manifest() is client.manifest()
    assert len(server.seen) == 1


def test_the_hash_alone_pins_too(server: ScriptedServer, box: BallotBox) -> None:
    with _client(server, manifest_hash=box.m.hex()) as client:
        assert client.manifest().manifest == box.manifest


def _resigned(box: BallotBox, **changes: Any) -> dict[str, Any]:
    other = BallotBox(keys=box.keys, signer=box.signer)
    return sign_manifest(other.manifest | changes, other.authority)


@pytest.mark.parametrize(
    "change",
    [
        _resigned,
        lambda box: box.signed | {"manifest": box.manifest | {"title": "Another"}},
        lambda box: box.signed | {"note": ""},
        lambda box: box.signed | {"extra": 1},
        lambda box: {},
    ],
)
def test_nothing_goes_on_without_the_authority(
    server: ScriptedServer, box: BallotBox, change: Any
) -> None:
    server.otherwise = scripted.plain(200, json.dumps(change(box)).encode())
    with (
        _client(server, authority_vkey=box.vkey) as client,
        pytest.raises(ManifestRejected),
    ):
        client.claim(JWT)
    assert server.requests("/claim/") == []


@pytest.mark.parametrize("pins", [{}, {"manifest_hash": "0" * 64}])
def test_a_wrong_or_missing_pin(server: ScriptedServer, pins: Any) -> None:
    with _client(server, **pins) as client, pytest.raises(ManifestRejected):
        client.manifest()


def test_both_pins_must_hold(server: ScriptedServer, box: BallotBox) -> None:
    with (
        _client(server, authority_vkey=box.vkey, manifest_hash="0" * 64) as client,
        pytest.raises(ManifestRejected),
    ):
        client.manifest()


def test_the_manifest_of_another_election(
    server: ScriptedServer, box: BallotBox
) -> None:
    with (
        _client(server, "other", authority_vkey=box.vkey) as client,
        pytest.raises(ManifestRejected, match="another election"),
    ):
        client.manifest()


def test_an_unknown_election(server: ScriptedServer, box: BallotBox) -> None:
    server.otherwise = scripted.problem(404, "election_unknown")
    with (
        _client(server, authority_vkey=box.vkey) as client,
        pytest.raises(Refused) as refused,
    ):
        client.manifest()
    assert refused.value.code == "election_unknown"


def test_a_claim(voter: Any, server: ScriptedServer, box: BallotBox) -> None:
    server.script = [scripted.drop, scripted.problem(503, "overloaded")]
    assert voter.claim() == Token(TOKEN, "north", box.m)
    assert [json.loads(seen.body) for seen in server.seen] == [{}, {}, {}]


def test_a_claim_for_a_style(voter: Any, server: ScriptedServer) -> None:
    assert voter.claim("north").style == "north"
    assert json.loads(server.seen[0].body) == {"style": "north"}
    with pytest.raises(UnexpectedAnswer, match="another ballot style"):
        voter.claim("south")


def test_a_refused_claim_says_the_rule(voter: Any, server: ScriptedServer) -> None:
    server.script = [scripted.problem(403, "not_eligible")]
    with pytest.raises(ClaimRefused, match="wrong_precinct") as refused:
        voter.claim()
    assert refused.value.reason == "wrong_precinct"
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"token": str(TOKEN).upper()}, UnexpectedAnswer),
        ({"token": "{" + str(TOKEN) + "}"}, UnexpectedAnswer),
        ({"token": 7}, UnexpectedAnswer),
        ({"style": "west"}, UnexpectedAnswer),
        ({"manifest_hash": "00"}, UnexpectedAnswer),
        ({"manifest_hash": "0" * 64}, ManifestRejected),
    ],
)
def test_a_claims_answer_is_checked(
    voter: Any, server: ScriptedServer, box: BallotBox, changes: Any, error: Any
) -> None:
    body = json.dumps(box.claimed(**changes)).encode()
    server.script = [scripted.plain(200, body)]
    with pytest.raises(error):
        voter.claim()


def test_tokens_do_not_show(voter: Any) -> None:
    token = voter.claim()
    ballot = voter.seal(token, {"mayor": [["c1"], []]})
    assert str(TOKEN) not in repr(token) + repr(ballot)
    assert repr(ballot.payload) not in repr(ballot)


@pytest.mark.parametrize(
    "selections",
    [
        {},
        {"mayor": [["c1"]]},
        {"mayor": [["c9"], []]},
        {"mayor": [["c1", "c1"], []]},
        {"mayor": [["c1"], []], "sheriff": [[]]},
    ],
)
def test_a_mismatching_ballot_is_not_made(voter: Any, selections: Any) -> None:
    with pytest.raises(ChoicesError):
        voter.seal(voter.claim(), selections)


def test_a_token_of_another_manifest_seals_nothing(voter: Any) -> None:
    with pytest.raises(ManifestRejected):
        voter.seal(Token(TOKEN, "north", bytes(32)), {"mayor": [["c1"], []]})


def test_a_ballot_of_another_manifest_is_not_sent(
    server: ScriptedServer, box: BallotBox, ballot: Any
) -> None:
    other = BallotBox()
    with VotingClient(
        server.url, "demo", authority_vkey=other.vkey, policy=QUICK
    ) as client:
        client.use_manifest(other.signed)
        with pytest.raises(ManifestRejected):
            client.cast(ballot)
    assert server.seen == []


def test_a_stored_receipt_is_fetched_and_verified(
    server: ScriptedServer, box: BallotBox, ballot: Any
) -> None:
    with _client(server, authority_vkey=box.vkey) as client:
        with pytest.raises(ReceiptUnknown):
            client.receipt(ballot)
        sent = client.cast(ballot)
        server.script = [scripted.pending]
        assert client.receipt(ballot).answer == sent.answer
