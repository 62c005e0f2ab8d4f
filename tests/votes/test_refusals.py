"""Every way to send a ballot wrong: a typed refusal, and the token stays usable."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.elections import MadeElection
from tests.support.engines import Engine
from tests.support.voting import Ballot, Door, assert_problem
from votepyramid.protocol.encoding import b64u
from votepyramid.protocol.identifiers import token_tag
from votepyramid.protocol.leaf import leaf_bytes, receipt_hash

Members = dict[str, Any]
Change = Callable[[Members], Members]


def _set(**changes: Any) -> Change:
    return lambda members: {**members, **changes}


def _map(name: str, change: Callable[[str], Any]) -> Change:
    return lambda members: {**members, name: change(members[name])}


def _without(name: str) -> Change:
    return lambda members: {k: v for k, v in members.items() if k != name}


def _stray_bits(text: str) -> str:
    """Other text for the same bytes: the unused low bits of the last character."""
    assert len(text) % 4 != 0, "the payload's length must leave unused bits"
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


DECLARED = {
    "manifest": (_set(manifest_hash="0" * 64), 422, "manifest_mismatch"),
    "style of others": (_set(style="south"), 422, "style_mismatch"),
    "style unknown": (_set(style="west"), 422, "style_mismatch"),
    "suite": (_set(suite="x25519-hkdf-sha256-aes256gcm"), 422, "suite_mismatch"),
    "suite unknown": (_set(suite="rot13"), 422, "suite_mismatch"),
    "key": (_set(key_id="f" * 64), 422, "key_mismatch"),
    "one byte short": (_map("payload", lambda t: _cut(t, -1)), 422, "ballot_length"),
    "no byte": (_set(payload=""), 422, "ballot_length"),
}


def _cut(payload: str, by: int) -> str:
    size = len(payload) * 3 // 4 + by
    return b64u(b"\x01" * size)


def _and_longer(change: Change) -> Change:
    return lambda members: _map("payload", lambda t: _cut(t, 1000))(change(members))


# What is wrong with it, if it were not too long, comes first as ever.
TOO_LONG = {
    "one byte": (_map("payload", lambda t: _cut(t, 1)), "ballot_length"),
    "much": (_map("payload", lambda t: _cut(t, 90_000)), "ballot_length"),
    "for another manifest": (_and_longer(DECLARED["manifest"][0]), "manifest_mismatch"),
    "for no style": (_and_longer(DECLARED["style unknown"][0]), "style_mismatch"),
    "for another suite": (_and_longer(DECLARED["suite"][0]), "suite_mismatch"),
    "for another key": (_and_longer(DECLARED["key"][0]), "key_mismatch"),
}
MALFORMED: dict[str, Change] = {
    "token uppercase": _map("token", str.upper),
    "token braced": _map("token", lambda t: "{" + t + "}"),
    "token urn": _map("token", lambda t: f"urn:uuid:{t}"),
    "token bare hex": _map("token", lambda t: t.replace("-", "")),
    "token with a space": _map("token", lambda t: f" {t}"),
    "token with a newline": _map("token", lambda t: f"{t}\n"),
    "token empty": _set(token=""),
    "token null": _set(token=None),
    "token a number": _set(token=1),
    "token a list": _map("token", lambda t: [t]),
    "token with other digits": _set(
        token="\u0661" * 8 + "-0000-0000-0000-000000000000"
    ),
    "payload padded": _map("payload", lambda t: t + "=" * (-len(t) % 4 or 4)),
    "payload with stray bits": _map("payload", _stray_bits),
    "payload in the other alphabet": _map("payload", lambda t: "+/" + t[2:]),
    "payload with a newline": _map("payload", lambda t: t + "\n"),
    "payload of a length no bytes have": _map(
        "payload", lambda t: t + "A" * ((1 - len(t)) % 4)
    ),
    "payload null": _set(payload=None),
    "key id uppercase": _map("key_id", str.upper),
    "key id short": _map("key_id", lambda t: t[:-2]),
    "key id base64": _set(key_id=b64u(b"\x01" * 32)),
    "manifest hash uppercase": _map("manifest_hash", str.upper),
    "manifest hash with 0x": _map("manifest_hash", lambda t: "0x" + t[2:]),
    "style uppercase": _map("style", str.upper),
    "style empty": _set(style=""),
    "style too long": _set(style="n" * 65),
    "style with a NUL": _set(style="nor\0th"),
    "suite with a space": _map("suite", lambda t: t + " "),
    "suite a number": _set(suite=7),
    "a lone surrogate": _set(style="\ud800"),
    "no token": _without("token"),
    "no payload": _without("payload"),
    "no style": _without("style"),
    "no suite": _without("suite"),
    "no key id": _without("key_id"),
    "no manifest hash": _without("manifest_hash"),
    "an unknown member": _set(voter="v1"),
}

BODIES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "no JSON": lambda _: b"token=1&payload=2",
    "a list": lambda body: b"[" + body + b"]",
    "null": lambda _: b"null",
    "a string": lambda _: b'"token"',
    "cut off": lambda body: body[:-1],
    "two values": lambda body: body + body,
    "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "UTF-16": lambda body: body.decode().encode("utf-16"),
    "no UTF-8": lambda body: body[:-1] + b',"x":"\xff"}',
    "a repeated member": lambda body: body[:-1] + b',"style":"north"}',
    "NaN": lambda body: body[:-1] + b',"x":NaN}',
    "a huge number": lambda body: body[:-1] + b',"x":' + b"9" * 5000 + b"}",
    "nested deep": lambda _: b"[" * 20_000 + b"]" * 20_000,
}


@pytest.fixture
def ballot(door: Door, voter: str) -> Iterator[Ballot]:
    """A ballot, which can still be cast after whatever the test sent."""
    made = door.ballot(voter)
    yield made
    answer = door.cast(made)
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.content)["receipt_hash"] == made.receipt_hash


@pytest.fixture(scope="module")
def shared(
    engine: Engine, election: MadeElection, voters: Iterator[str]
) -> Iterator[Ballot]:
    """One for all requests that are refused before anybody looks at the token."""
    door = engine.doors(election)[0]
    made = door.ballot(next(voters))
    yield made
    assert door.cast(made).status_code == 200


@pytest.mark.parametrize("name", DECLARED)
def test_a_declaration_that_does_not_match(
    name: str, door: Door, ballot: Ballot, election: MadeElection
) -> None:
    change, status, code = DECLARED[name]
    for _ in range(2):
        answer = door.post(change(ballot.body()))
        document = assert_problem(answer, status, code)
        assert str(ballot.bearer) not in json.dumps(document)
    # One row and one event for the same refused bytes, however often they come.
    found = election.count(
        "SELECT array_agg(s.code) FROM vote_submissions s "
        "JOIN audit_events a ON a.subject = s.receipt_hash "
        "WHERE s.status = 'rejected' AND a.kind = 'vote_refused' "
        "AND a.detail ->> 'code' = s.code AND s.receipt IS NULL "
        "AND s.ballot_snapshot IS NULL AND s.created_at > now() - interval '1 min' "
        "AND s.id = (SELECT id FROM vote_submissions WHERE status = 'rejected' "
        "ORDER BY created_at DESC LIMIT 1)"
    )
    assert found == [code]


@pytest.mark.parametrize("name", TOO_LONG)
def test_what_is_longer_than_every_ballot_makes_no_group(
    name: str, door: Door, ballot: Ballot, election: MadeElection
) -> None:
    change, code = TOO_LONG[name]
    before, counts = _groups(door), election.counts()
    assert_problem(door.post(change(ballot.body())), 422, code)
    assert (_groups(door), election.counts()) == (before, counts)


def test_nor_does_it_under_a_used_token(door: Door, voter: str) -> None:
    token = door.ballot(voter)
    assert door.cast(token).status_code == 200
    before = _groups(door)
    answer = door.cast(token, payload=_cut(token.body()["payload"], 1))
    assert_problem(answer, 422, "ballot_length")
    assert _groups(door) == before


def _groups(door: Door) -> float:
    """How many groups of votes this process has started."""
    text = door.http.get("/metrics").text
    name = 'votepyramid_gateway_group_items_count{line="votes"} '
    return float(text.partition(name)[2].partition("\n")[0] or 0)


@pytest.mark.parametrize("name", MALFORMED)
def test_text_that_is_not_canonical(name: str, door: Door, shared: Ballot) -> None:
    answer = door.post(MALFORMED[name](shared.body()))
    document = assert_problem(answer, 400, "malformed")
    assert document["errors"]
    # What was sent may be a secret in the wrong place: it is not repeated.
    assert str(shared.bearer) not in json.dumps(document)


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_cast(name: str, door: Door, shared: Ballot) -> None:
    body = BODIES[name](json.dumps(shared.body()).encode())
    assert_problem(door.post(body), 400, "malformed")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "", "json"]
)
def test_another_content_type(content_type: str, door: Door, shared: Ballot) -> None:
    answer = door.post(shared.body(), content_type=content_type)
    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("size", [128 * 1024 + 1, 300_000, 3_000_000])
def test_a_payload_over_the_limit(size: int, door: Door, shared: Ballot) -> None:
    body = shared.body(payload="A" * size)
    document = assert_problem(door.post(body), 413, "too_large")
    # The largest are refused by the HTTP server itself, before they are read.
    assert document["limit"] == (128 if size < 1024 * 1024 else 1024) * 1024


def test_the_largest_body_that_is_read(door: Door, ballot: Ballot) -> None:
    room = 128 * 1024 - len(json.dumps(ballot.body(payload="")))
    answer = door.post(ballot.body(payload="A" * (room // 4 * 4)))
    assert_problem(answer, 422, "ballot_length")


def test_an_unknown_token(door: Door, election: MadeElection) -> None:
    before = election.count("SELECT count(*) FROM audit_events")
    ballot = door.seal(uuid.uuid4())
    assert_problem(door.cast(ballot), 403, "token_unknown")
    assert election.count("SELECT count(*) FROM audit_events") == before
    answer = door.receipt(ballot.receipt_hash)
    assert_problem(answer, 404, "receipt_unknown")


@pytest.mark.parametrize(
    "name", ["other", "DEMO", "d" * 65, "demo%00", "d%C3%A9mo", "%FF", "..", "a%2Fb"]
)
def test_an_unknown_election(name: str, door: Door, shared: Ballot) -> None:
    answer = door.post(shared.body(), election=name)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["code"] in ("election_unknown", "not_found", "malformed")


def test_a_token_of_another_election(
    door: Door, ballot: Ballot, engine: Engine
) -> None:
    other = engine.make_election(id="elsewhere", voters=1)
    answer = door.post(ballot.body(), election=other.id)
    assert_problem(answer, 403, "token_unknown")


def test_rejected_rows_of_a_token_are_bounded(
    door: Door, ballot: Ballot, election: MadeElection
) -> None:
    bound = election.manifest["rate"]["rejected_ballots_per_token"]
    refused = [door.seal(ballot.bearer) for _ in range(bound + 3)]
    for one in refused:
        assert_problem(door.cast(one, style="south"), 422, "style_mismatch")
    query = (
        "SELECT count(*) FROM vote_submissions WHERE status = 'rejected' "
        "AND election = %s AND tag = %s"
    )
    assert election.count(query, election.id, ballot.sealed.t) == bound
    events = (
        "SELECT count(*) FROM audit_events a JOIN vote_submissions s "
        "ON s.receipt_hash = a.subject WHERE a.kind = 'vote_refused' AND s.tag = %s"
    )
    assert election.count(events, ballot.sealed.t) == bound


def test_a_refused_ballot_says_so_when_asked(door: Door, ballot: Ballot) -> None:
    answer = door.cast(ballot, manifest_hash="0" * 64)
    assert_problem(answer, 422, "manifest_mismatch")
    # Under the receipt hash that the client of such a ballot would have computed.
    bad = _sealed_for(ballot, b"\0" * 32, door.election.id)
    asked = door.receipt(bad)
    assert asked.status_code == 200
    assert asked.json() == {
        "code": "manifest_mismatch",
        "receipt_hash": bad,
        "status": "rejected",
    }


def _sealed_for(ballot: Ballot, m: bytes, election: str) -> str:
    tag = token_tag(election, m, ballot.bearer)
    return receipt_hash(leaf_bytes(ballot.sealed.c, election, m, tag))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method(method: str, door: Door) -> None:
    answer = door.http.request(method, door.path("vote/"))
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"]


def test_casting_too_often_is_limited_and_not_for_ever_lost(
    engine: Engine,
) -> None:
    rate = {"casts_per_token_per_minute": 1}
    election = engine.make_election(id="limited", voters=1, rate=rate)
    door = engine.doors(election)[0]
    ballot = door.ballot("v0")
    assert_problem(door.cast(ballot, style="south"), 422, "style_mismatch")
    answer = door.cast(ballot)
    assert_problem(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert election.counts().used == 0
    # The other process counts for itself.
    assert engine.doors(election)[1].cast(ballot).status_code == 200
