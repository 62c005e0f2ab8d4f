"""Receipts: an answer holds for one ballot, one token and one manifest only."""

from __future__ import annotations

import json
import uuid
from functools import cache
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.support import ORIGIN, Election, election, flip, thorough
from votepyramid.protocol import ballot, leaf, notes, receipt, verify
from votepyramid.protocol.encoding import NotCanonical, ProtocolError, b64u, jcs
from votepyramid.protocol.suites import SUITES

X25519 = "x25519-hkdf-sha256-aes256gcm"
BEARER = uuid.UUID("6a1f9d5e-3c11-8b57-9d0a-0123456789ab")
MARKS: ballot.Selections = {"mayor": [["c3"], [], []], "measure-1": [["c0"]]}


class Cast(NamedTuple):
    demo: Election
    sealed: ballot.SealedBallot
    answer: bytes


@cache
def cast(suite_id: str = X25519) -> Cast:
    demo = election(suite_id)
    sealed = ballot.seal_ballot(demo.manifest, "w9", BEARER, MARKS)
    note = receipt.sign_receipt(demo.box, ORIGIN, sealed.m, sealed.leaf)
    return Cast(demo, sealed, receipt.answer_bytes(sealed.leaf, note))


def check(voted: Cast, **changes: Any) -> verify.VerifiedReceipt:
    arguments = {
        "manifest": voted.demo.manifest,
        "bearer": BEARER,
        "style": "w9",
        "payload": voted.sealed.payload,
        **changes,
    }
    answer = arguments.pop("answer", voted.answer)
    return verify.verify_receipt(answer, **arguments)


def failure(voted: Cast, **changes: Any) -> str:
    with pytest.raises(verify.VerificationError) as caught:
        check(voted, **changes)
    return caught.value.check


@pytest.mark.parametrize("suite_id", SUITES)
def test_receipt_holds(suite_id: str) -> None:
    voted = cast(suite_id)
    verified = check(voted)
    assert verified.receipt_hash == voted.sealed.receipt_hash
    assert verified.election == "demo"
    assert verified.key == voted.demo.box.verifier
    assert check(voted, m=voted.sealed.m) == verified


def test_every_byte_of_the_answer_counts() -> None:
    voted = cast()
    for at in range(len(voted.answer)):
        for mask in (0x01, 0x02, 0x20, 0x80):
            failure(voted, answer=flip(voted.answer, at, mask))
        failure(voted, answer=voted.answer[:at] + voted.answer[at + 1 :])
        failure(voted, answer=voted.answer[:at] + b" " + voted.answer[at:])


@pytest.mark.parametrize("suite_id", SUITES)
def test_every_byte_of_the_payload_counts(suite_id: str) -> None:
    voted = cast(suite_id)
    for at in range(len(voted.sealed.payload)):
        payload = flip(voted.sealed.payload, at, 0x80)
        assert failure(voted, payload=payload) == "ciphertext"


def test_every_byte_of_the_bearer_counts() -> None:
    voted = cast()
    for at in range(16):
        for mask in range(1, 256):
            bearer = uuid.UUID(bytes=flip(BEARER.bytes, at, mask))
            assert failure(voted, bearer=bearer) == "token"


def test_checks_are_named() -> None:
    voted = cast()
    manifest = voted.demo.manifest
    assert failure(voted, answer=b"") == "answer"
    assert failure(voted, style="w8") == "ciphertext"
    assert failure(voted, style="w7") == "manifest"
    assert failure(voted, payload=voted.sealed.payload + b"\0") == "payload"
    assert failure(voted, manifest={**manifest, "id": "other"}) == "election"
    assert failure(voted, manifest={**manifest, "title": "x"}) == "manifest_hash"
    assert failure(voted, manifest={}) == "manifest"


def test_other_signers_and_texts_are_refused() -> None:
    voted = cast()
    sealed, box = voted.sealed, voted.demo.box
    stranger = notes.generate(ORIGIN)

    def answer(note: str) -> bytes:
        return receipt.answer_bytes(sealed.leaf, note)

    def signed(signer: notes.SigningKey, origin: str, m: bytes, record: bytes) -> bytes:
        return answer(receipt.sign_receipt(signer, origin, m, record))

    good = signed(box, ORIGIN, sealed.m, sealed.leaf)
    assert good == voted.answer
    assert check(voted, answer=good)
    other = leaf.leaf_bytes(bytes(32), "demo", sealed.m, sealed.t)
    cases = {
        signed(stranger, ORIGIN, sealed.m, sealed.leaf): "signature",
        answer("no note at all"): "signature",
        signed(box, "votepyramid.example/other", sealed.m, sealed.leaf): "text",
        signed(box, ORIGIN, bytes(32), sealed.leaf): "text",
        signed(box, ORIGIN, sealed.m, other): "text",
        answer(notes.sign("evote/checkpoint/v1\n", box)): "text",
    }
    for forged, expected in cases.items():
        assert failure(voted, answer=forged) == expected


def test_answer_of_another_ballot_is_refused() -> None:
    """The answer of a ballot box that shows several voters one receipt."""
    voted = cast()
    twin = ballot.seal_ballot(voted.demo.manifest, "w9", uuid.UUID(int=7), MARKS)
    note = receipt.sign_receipt(voted.demo.box, ORIGIN, twin.m, twin.leaf)
    answer = receipt.answer_bytes(twin.leaf, note)
    assert failure(voted, answer=answer) == "token"


def altered(**changes: Any) -> bytes:
    value = json.loads(cast().answer)
    return jcs({**value, **changes})


def altered_leaf(**changes: Any) -> bytes:
    """An answer whose leaf is changed and whose receipt_hash fits it."""
    value = json.loads(cast().answer)
    value["leaf"].update(changes)
    return jcs({**value, "receipt_hash": leaf.receipt_hash(jcs(value["leaf"]))})


@pytest.mark.parametrize(
    "answer",
    [
        altered(status="rejected"),
        altered(status=True),
        altered(note=None),
        altered(receipt_hash="00" * 32),
        altered(receipt_hash=cast().sealed.receipt_hash.upper()),
        altered(extra=1),
        altered(leaf=None),
        altered(leaf={}),
        altered_leaf(v=2),
        altered_leaf(v=True),
        altered_leaf(e="Demo"),
        altered_leaf(extra=1),
        altered_leaf(c=b64u(bytes(31))),
        altered_leaf(t=b64u(bytes(32)) + "="),
        altered_leaf(m=None),
        cast().answer + b"\n",
        b" " + cast().answer,
        json.dumps(json.loads(cast().answer)).encode(),
        b"[]",
        b"{}",
        b"null",
    ],
)
def test_malformed_answers(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        receipt.parse_answer(answer)
    assert failure(cast(), answer=answer) == "answer"


@thorough
@given(st.binary() | st.text('{}[]":,leafnotrcpihshu_v1').map(str.encode))
def test_arbitrary_answers_fail_in_one_way(answer: bytes) -> None:
    assert failure(cast(), answer=answer) == "answer"


def test_answer_round_trip() -> None:
    voted = cast()
    parsed = receipt.parse_answer(voted.answer)
    assert parsed.leaf == voted.sealed.leaf
    assert parsed.fields == leaf.parse_leaf(voted.sealed.leaf)
    assert receipt.answer_bytes(parsed.leaf, parsed.note) == voted.answer


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{}",
        cast().sealed.leaf + b" ",
        cast().sealed.leaf.replace(b":1}", b":1.0}"),
        cast().sealed.leaf.replace(b":1}", b":2}"),
        cast().sealed.leaf.replace(b'"demo"', b'"d\\u0065mo"'),
    ],
)
def test_malformed_leaves(record: bytes) -> None:
    with pytest.raises(ProtocolError):
        leaf.parse_leaf(record)
    with pytest.raises(ProtocolError):
        receipt.answer_bytes(record, "note")


def test_parts_of_wrong_size() -> None:
    for c, m, t in ((b"", bytes(32), bytes(32)), (bytes(32), bytes(32), b"00" * 32)):
        with pytest.raises(NotCanonical):
            leaf.leaf_bytes(c, "demo", m, t)
    for origin, m, hashed in (
        ("a b", bytes(32), bytes(32)),
        ("", bytes(32), bytes(32)),
        (ORIGIN, bytes(31), bytes(32)),
        (ORIGIN, bytes(32), b""),
    ):
        with pytest.raises(NotCanonical):
            receipt.receipt_text(origin, m, hashed)
