"""What the codec server opens, what it leaves, and what it says of it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.codec_server.desk import NAMESPACE, SEALED, Desk, data
from tests.support import consoles
from tests.support.voting import assert_problem
from votepyramid.engine.codec import PLACE
from votepyramid.protocol.encoding import b64u


def test_a_history_is_readable(desk: Desk) -> None:
    events = consoles.decoded(desk.events(), desk.decode)
    started = events[0]["workflowExecutionStartedEventAttributes"]
    (given,) = started["input"]["payloads"]
    (vote,) = data(given)["votes"]
    assert vote["receipt_hash"] == desk.ballots[0].receipt_hash
    assert base64.b64decode(given["metadata"]["encoding"]) == b"json/plain"
    # A ballot stays as the voter sealed it.
    assert b64u(desk.ballots[0].sealed.payload) in json.dumps(vote)
    assert "ada-linden" not in json.dumps(events)
    ended = events[-1]["workflowExecutionCompletedEventAttributes"]
    (outcomes,) = ended["result"]["payloads"]
    assert data(outcomes)[0]["storage"] == "stored"


def test_the_seal_and_its_place_do_not_go_on(desk: Desk) -> None:
    assert SEALED in json.dumps(desk.events())
    found = json.dumps(consoles.decoded(desk.events(), desk.decode))
    assert SEALED not in found and PLACE not in found


def test_a_failure_is_readable(desk: Desk) -> None:
    stuck = f"vote/{desk.ballots[1].receipt_hash}"
    raw = consoles.description(desk.engine.temporal, NAMESPACE, stuck)
    assert raw["pendingActivities"][0]["lastFailure"]["message"] == "Encoded failure"
    shown = consoles.decoded(raw, desk.decode)
    failure = shown["pendingActivities"][0]["lastFailure"]
    said = data(failure["encodedAttributes"])
    assert said["message"] == "database: RaiseException (P0001)"


def test_what_is_not_ours_goes_back_as_it_came(desk: Desk) -> None:
    plain = {"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "IngiCg=="}
    bare: dict[str, Any] = {"metadata": {"encoding": "YmluYXJ5L251bGw="}}
    stored = {**plain, "externalPayloads": [{"sizeBytes": "7"}]}
    (sealed,) = desk.sealed()
    found = desk.decode([plain, sealed, bare, stored, {}])
    assert found[0] == plain and found[2:] == [bare, stored, {}]
    assert found[1] != sealed
    assert desk.decode([]) == []


def test_a_payload_that_cannot_be_opened_stays_sealed_and_hides_nobody(
    desk: Desk,
) -> None:
    (good,) = desk.sealed()
    place = base64.b64encode(f"{NAMESPACE}/votes/another".encode()).decode()
    moved = {**good, "metadata": {**good["metadata"], PLACE: place}}
    nowhere = {**good, "metadata": {"encoding": SEALED}}
    whole = base64.b64decode(good["data"])
    altered = {**good, "data": base64.b64encode(whole[:-1] + b"\0\0").decode()}
    short = {**good, "data": ""}
    bad = [moved, nowhere, altered, short]
    found = desk.decode([*bad, good])
    assert found[:-1] == bad
    assert data(found[-1])["votes"]
    assert desk.lines("payloads_decoded")[-1]["unreadable"] == len(bad)
    assert desk.lines("payloads_decoded")[-1]["opened"] == 1


def test_what_was_sealed_for_another_namespace_stays_sealed(desk: Desk) -> None:
    sealed = desk.sealed()
    assert desk.decode(sealed, X_Namespace="alone-1") == sealed
    assert desk.decode(sealed, X_Namespace="defaul") == sealed


MALFORMED: dict[str, Any] = {
    "empty": b"",
    "no JSON": b"payloads",
    "a repeated key": b'{"payloads": [], "payloads": []}',
    "a list": [],
    "no member": {},
    "another member": {"payloads": [], "more": 1},
    "not a list": {"payloads": {}},
    "null": {"payloads": [None]},
    "an unknown member": {"payloads": [{"date": ""}]},
    "metadata a list": {"payloads": [{"metadata": []}]},
    "metadata a number": {"payloads": [{"metadata": {"encoding": 1}}]},
    "much metadata": {"payloads": [{"metadata": {str(n): "" for n in range(17)}}]},
    "data a number": {"payloads": [{"data": 1}]},
    "data in the other alphabet": {"payloads": [{"data": "_-_-"}]},
    "data without padding": {"payloads": [{"data": "eA"}]},
    "data with a newline": {"payloads": [{"data": "eDp5\n"}]},
    "too many": {"payloads": [{}] * 1001},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_body_says_what_is_wrong(desk: Desk, name: str) -> None:
    problem = assert_problem(desk.ask(MALFORMED[name]), 400, "malformed")
    assert problem["errors"][0]["problem"]


def test_bounds(desk: Desk) -> None:
    large = b'{"payloads":[{"data":"' + b"A" * (1024 * 1024 - 40) + b'"}]}'
    assert_problem(desk.ask(large + b" " * 40), 413, "too_large")
    assert desk.ask(large).status_code == 200
    text = desk.ask({}, Content_Type="text/plain")
    assert_problem(text, 415, "unsupported_media_type")
    for namespace in (None, "de fault", "../default", "n" * 256):
        answer = desk.ask({"payloads": []}, X_Namespace=namespace)
        problem = assert_problem(answer, 400, "malformed")
        assert problem["errors"][0]["field"] == "X-Namespace"


def test_every_decode_is_logged_without_contents(desk: Desk) -> None:
    token = desk.token("auditor", name="petra@office.example")
    (sealed,) = desk.sealed()
    before = len(desk.lines("payloads_decoded"))
    desk.decode([sealed, sealed, {}], Authorization=f"Bearer {token}")
    (line,) = desk.lines("payloads_decoded")[before:]
    expected = {
        "who": "petra@office.example",
        "role": "auditor",
        "namespace": NAMESPACE,
        "payloads": 3,
        "opened": 2,
        "unreadable": 0,
        "places": [f"{NAMESPACE}/{desk.group()}"],
        "more_places": 0,
    }
    assert {name: line[name] for name in expected} == expected
    text = desk.server.log_text()
    for secret in (token, b64u(desk.ballots[0].sealed.payload), sealed["data"]):
        assert secret not in text


def test_a_namespace_in_which_nothing_was_opened_is_not_logged(desk: Desk) -> None:
    """It is whatever was sent, such as a token in the wrong place."""
    before = len(desk.lines("payloads_decoded"))
    word = str(desk.ballots[0].bearer)
    for payloads in ([], desk.sealed(), [{}]):
        desk.decode(payloads, X_Namespace=word)
    lines = desk.lines("payloads_decoded")[before:]
    assert [one["namespace"] for one in lines] == [None] * 3
    assert word not in desk.server.log_text()


def test_every_refusal_is_logged(desk: Desk) -> None:
    before = len(desk.lines("codec_refused"))
    desk.ask({}, Origin="http://evil.example")
    desk.ask({}, Authorization=None)
    desk.ask({}, "/encode")
    desk.ask({})
    lines = desk.lines("codec_refused")[before:]
    assert [(one["code"], one.get("reason"), one.get("who")) for one in lines] == [
        ("forbidden", "origin", None),
        ("unauthenticated", None, None),
        ("forbidden", "read_only", "olga"),
        ("malformed", None, "olga"),
    ]
    assert "evil" not in desk.server.log_text()
