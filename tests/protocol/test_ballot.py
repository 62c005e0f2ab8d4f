"""Selections, padding and sealed ballots, with every bound field tampered."""

from __future__ import annotations

import copy
import uuid
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.protocol.support import Election, election, flip, relaxed, thorough
from votepyramid.protocol import ballot, identifiers, leaf, manifest
from votepyramid.protocol.encoding import NotCanonical, StrictJsonError, jcs
from votepyramid.protocol.suites import SUITES, OpenError

EACH_SUITE = pytest.mark.parametrize("suite_id", SUITES)
X25519 = "x25519-hkdf-sha256-aes256gcm"
DEMO = election(X25519)
BEARER = uuid.UUID("6a1f9d5e-3c11-8b57-9d0a-0123456789ab")
FULL: ballot.Selections = {"mayor": [["c3"], [], ["c1", "c2"]], "measure-1": [["c0"]]}


def marks(count: int) -> st.SearchStrategy[list[str]]:
    """Any set of marks at one rank, in the manifest's order."""
    names = [f"c{number}" for number in range(count)]
    chosen = st.lists(st.booleans(), min_size=count, max_size=count)
    return chosen.map(lambda on: [n for n, yes in zip(names, on, strict=True) if yes])


SELECTIONS = st.fixed_dictionaries(
    {
        "mayor": st.lists(marks(5), min_size=3, max_size=3),
        "measure-1": st.lists(marks(2), min_size=1, max_size=1),
    }
)


@EACH_SUITE
@relaxed
@given(selections=SELECTIONS, style=st.sampled_from(["w9", "w8"]), token=st.uuids())
def test_round_trip(
    suite_id: str, selections: ballot.Selections, style: str, token: uuid.UUID
) -> None:
    demo = election(suite_id)
    sealed = ballot.seal_ballot(demo.manifest, style, token, selections)
    length = manifest.ciphertext_length(demo.manifest, style)
    assert len(sealed.payload) == length
    opened = ballot.open_ballot(
        demo.private, demo.manifest, style, sealed.t, sealed.payload, m=sealed.m
    )
    assert opened == selections
    assert sealed.receipt_hash == leaf.receipt_hash(sealed.leaf)
    assert leaf.parse_leaf(sealed.leaf) == (sealed.c, "demo", sealed.m, sealed.t)


@EACH_SUITE
def test_every_byte_of_payload_and_tag_is_bound(suite_id: str) -> None:
    demo = election(suite_id)
    sealed = ballot.seal_ballot(demo.manifest, "w9", BEARER, FULL)
    payloads = [flip(sealed.payload, at) for at in range(len(sealed.payload))]
    tags = [flip(sealed.t, at) for at in range(32)]
    cases = [(sealed.t, payload) for payload in payloads]
    cases += [(tag, sealed.payload) for tag in tags]
    for tag, payload in cases:
        with pytest.raises(OpenError):
            open_demo(demo, "w9", tag, payload, sealed.m)


@EACH_SUITE
def test_style_election_and_manifest_are_bound(suite_id: str) -> None:
    demo = election(suite_id)
    sealed = ballot.seal_ballot(demo.manifest, "w9", BEARER, FULL)
    with pytest.raises(OpenError):
        open_demo(demo, "w8", sealed.t, sealed.payload, sealed.m)
    for at in range(32):
        with pytest.raises(OpenError):
            open_demo(demo, "w9", sealed.t, sealed.payload, flip(sealed.m, at))
    renamed = demo._replace(manifest={**demo.manifest, "id": "demp"})
    with pytest.raises(OpenError):
        open_demo(renamed, "w9", sealed.t, sealed.payload, sealed.m)
    retitled = demo._replace(manifest={**demo.manifest, "title": "Other"})
    with pytest.raises(OpenError):
        open_demo(retitled, "w9", sealed.t, sealed.payload, None)


@EACH_SUITE
def test_key_id_and_suite_are_bound(suite_id: str) -> None:
    """Below `open_ballot`, which refuses a manifest with a wrong key id itself."""
    demo, suite = election(suite_id), SUITES[suite_id]
    sealed = ballot.seal_ballot(demo.manifest, "w9", BEARER, FULL)
    good = ("demo", sealed.m, "w9", suite_id, sealed.kid, sealed.t)
    info = identifiers.ballot_info(*good)
    assert suite.open(demo.private, sealed.payload, info)
    for at in range(32):
        info = identifiers.ballot_info(*good[:4], flip(sealed.kid, at), sealed.t)
        with pytest.raises(OpenError):
            suite.open(demo.private, sealed.payload, info)
    info = identifiers.ballot_info(*good[:3], "other-suite", sealed.kid, sealed.t)
    with pytest.raises(OpenError):
        suite.open(demo.private, sealed.payload, info)


@EACH_SUITE
def test_another_private_key_is_named(suite_id: str) -> None:
    demo = election(suite_id)
    sealed = ballot.seal_ballot(demo.manifest, "w9", BEARER, FULL)
    other = SUITES[suite_id].generate_private_key().private
    with pytest.raises(OpenError, match="not this election's"):
        open_demo(
            demo._replace(private=other), "w9", sealed.t, sealed.payload, sealed.m
        )


def test_wrong_length_does_not_open() -> None:
    sealed = ballot.seal_ballot(DEMO.manifest, "w9", BEARER, FULL)
    for payload in (b"", sealed.payload[:-1], sealed.payload + b"\0"):
        with pytest.raises(OpenError):
            open_demo(DEMO, "w9", sealed.t, payload, sealed.m)


def test_receipt_hash_follows_payload_and_token() -> None:
    first = ballot.seal_ballot(DEMO.manifest, "w9", BEARER, FULL)
    again = ballot.seal_ballot(DEMO.manifest, "w9", BEARER, FULL)
    assert first.t == again.t
    assert first.receipt_hash != again.receipt_hash
    other = ballot.seal_ballot(DEMO.manifest, "w9", uuid.UUID(int=1), FULL)
    assert other.t != first.t


def test_client_refuses_a_manifest_with_a_wrong_key_id() -> None:
    wrong = {**DEMO.manifest, "key_id": "00" * 32}
    with pytest.raises(manifest.ManifestError) as caught:
        ballot.seal_ballot(wrong, "w9", BEARER, FULL)
    assert caught.value.path == "key_id"


@given(st.binary(max_size=64), st.integers(min_value=0, max_value=64))
def test_padding_round_trip(data: bytes, spare: int) -> None:
    padded = ballot.pad(data, len(data) + 1 + spare)
    assert len(padded) == len(data) + 1 + spare
    assert ballot.unpad(padded) == data


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_padding_is_unambiguous(one: bytes, other: bytes) -> None:
    assert (ballot.pad(one, 65) == ballot.pad(other, 65)) == (one == other)


@given(st.binary(max_size=64))
def test_unpad_accepts_only_padding(data: bytes) -> None:
    try:
        inner = ballot.unpad(data)
    except ballot.PaddingError:
        assert not data.rstrip(b"\0").endswith(b"\x80")
    else:
        assert ballot.pad(inner, len(data)) == data


def test_padding_edges() -> None:
    assert ballot.pad(b"", 1) == b"\x80"
    assert ballot.pad(b"\x80\0", 4) == b"\x80\0\x80\0"
    for data, length in ((b"", 0), (b"ab", 2), (b"ab", 1)):
        with pytest.raises(ballot.PaddingError):
            ballot.pad(data, length)
    for padded in (b"", b"\0\0", b"ab", b"\x80\x01", b"\x80\0\x7f"):
        with pytest.raises(ballot.PaddingError):
            ballot.unpad(padded)


def test_longest_ballot_fits_exactly() -> None:
    tight = copy.deepcopy(DEMO.manifest)
    largest = manifest.largest_plaintext(tight, "w9")
    everything: ballot.Selections = {
        "mayor": [[f"c{n}" for n in range(5)]] * 3,
        "measure-1": [["c0", "c1"]],
    }
    assert largest == len(jcs(everything)) + 1
    tight["styles"][0]["plaintext_length"] = largest
    manifest.check_manifest(tight)
    sealed = ballot.seal_ballot(tight, "w9", BEARER, everything)
    opened = open_demo(DEMO._replace(manifest=tight), "w9", sealed.t, sealed.payload)
    assert opened == everything
    tight["styles"][0]["plaintext_length"] = largest - 1
    with pytest.raises(ballot.PaddingError):
        ballot.seal_ballot(tight, "w9", BEARER, everything)
    with pytest.raises(manifest.ManifestError, match="plaintext_length"):
        manifest.check_manifest(tight)


ACCEPTED: dict[str, list[list[str]]] = {
    "ranked": [["c0"], ["c1"], ["c2"]],
    "undervote": [[], [], []],
    "skipped rank": [["c0"], [], ["c1"]],
    "overvote": [["c0", "c4"], [], []],
    "everything": [[f"c{n}" for n in range(5)]] * 3,
    "repeated ranking": [["c2"], ["c2"], ["c2"]],
    "repeated in an overvote": [["c2"], ["c1", "c2"], []],
}


@pytest.mark.parametrize("ranks", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted_marks(ranks: list[list[str]]) -> None:
    selections: ballot.Selections = {"mayor": ranks, "measure-1": [[]]}
    sealed = ballot.seal_ballot(DEMO.manifest, "w9", BEARER, selections)
    assert open_demo(DEMO, "w9", sealed.t, sealed.payload) == selections


REFUSED: dict[str, Any] = {
    "too few ranks": [["c0"], ["c1"]],
    "too many ranks": [["c0"], ["c1"], ["c2"], []],
    "no ranks": [],
    "mark twice in a rank": [["c0", "c0"], [], []],
    "marks out of order": [["c1", "c0"], [], []],
    "unknown choice": [["c5"], [], []],
    "choice by name": [["Choice 0"], [], []],
    "mark that is a number": [[0], [], []],
    "mark that is a list": [[["c0"]], [], []],
    "mark that is null": [[None], [], []],
    "rank that is text": ["c0", [], []],
    "rank that is null": [None, [], []],
    "rank that is a tuple": [("c0",), [], []],
    "contest that is text": "c0",
    "contest that is an object": {"0": ["c0"], "1": [], "2": []},
    "contest that is null": None,
}


@pytest.mark.parametrize("ranks", REFUSED.values(), ids=REFUSED.keys())
def test_refused_marks(ranks: Any) -> None:
    with pytest.raises(ballot.SelectionError) as caught:
        ballot.check_selections(
            DEMO.manifest, "w9", {"mayor": ranks, "measure-1": [[]]}
        )
    assert caught.value.contest == "mayor"
    assert caught.value.problem.startswith("mayor: ")


def test_refused_contests() -> None:
    with pytest.raises(ballot.SelectionError) as caught:
        ballot.check_selections(DEMO.manifest, "w9", {"mayor": [[], [], []]})
    assert caught.value.contest == "measure-1"
    wrong: list[Any] = [{**FULL, "senate": [[]]}, [], None, "mayor", {}]
    for selections in wrong:
        with pytest.raises(ballot.SelectionError):
            ballot.check_selections(DEMO.manifest, "w9", selections)
    with pytest.raises(manifest.ManifestError):
        ballot.check_selections(DEMO.manifest, "w7", FULL)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["c0", "c1", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["mayor", "measure-1", "x"]), inner)
    ),
)


@thorough
@given(JSON)
@example({"mayor": [[[]], [], []], "measure-1": [[]]})
@example({"mayor": [[{}], [], []], "measure-1": [[]]})
def test_arbitrary_selections_fail_in_one_way(selections: Any) -> None:
    try:
        ballot.check_selections(DEMO.manifest, "w9", selections)
    except ballot.SelectionError:
        return
    sealed = ballot.seal_ballot(DEMO.manifest, "w9", BEARER, selections)
    assert open_demo(DEMO, "w9", sealed.t, sealed.payload) == selections


def seal_raw(plaintext: bytes) -> tuple[bytes, bytes]:
    """Tag and payload of what a hostile client sealed in a ballot's place."""
    key = manifest.election_key(DEMO.manifest)
    m = identifiers.manifest_hash(DEMO.manifest)
    tag = identifiers.token_tag("demo", m, BEARER)
    info = identifiers.ballot_info("demo", m, "w9", X25519, key.kid, tag)
    return tag, key.suite.seal(key.public, plaintext, info)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (jcs({**FULL, "senate": [[]]}), ballot.SelectionError),
        (jcs({**FULL, "mayor": [["c9"], [], []]}), ballot.SelectionError),
        (jcs(FULL).replace(b",", b", "), ballot.SelectionError),
        (b'{"measure-1":[["c0"]],"mayor":[[],[],[]]}', ballot.SelectionError),
        (b'{"mayor":[[],[],[]],"mayor":[[],[],[]]}', StrictJsonError),
        (b"not JSON", StrictJsonError),
        (b"", StrictJsonError),
    ],
)
def test_sealed_nonsense_is_typed(content: bytes, error: type[Exception]) -> None:
    tag, payload = seal_raw(ballot.pad(content, 128))
    with pytest.raises(error):
        open_demo(DEMO, "w9", tag, payload)


@pytest.mark.parametrize("plaintext", [bytes(128), jcs(FULL).ljust(128, b" ")])
def test_sealed_bad_padding_is_typed(plaintext: bytes) -> None:
    tag, payload = seal_raw(plaintext)
    with pytest.raises(ballot.PaddingError):
        open_demo(DEMO, "w9", tag, payload)


def test_identifiers_refuse_wrong_types_of_bytes() -> None:
    with pytest.raises(NotCanonical):
        identifiers.bearer(b"short", "demo", bytes(32), "v", 0)
    with pytest.raises(NotCanonical):
        identifiers.bearer(bytes(32), "demo", bytes(32), "", 0)
    with pytest.raises(NotCanonical):
        identifiers.bearer(bytes(32), "demo", bytes(32), "v", -1)
    with pytest.raises(NotCanonical):
        identifiers.token_tag("demo", b"00" * 32, BEARER)
    with pytest.raises(NotCanonical):
        identifiers.token_id("Demo", bytes(32), BEARER)


@given(st.text("ab", min_size=1), st.text("ab", min_size=1))
def test_bearers_differ_by_voter_and_counter(one: str, other: str) -> None:
    def made(voter: str, counter: int) -> uuid.UUID:
        return identifiers.bearer(bytes(32), "demo", bytes(32), voter, counter)

    assert (made(one, 0) == made(other, 0)) == (one == other)
    assert made(one, 0) != made(one, 1)


def open_demo(
    demo: Election, style: str, tag: bytes, payload: bytes, m: bytes | None = None
) -> ballot.Selections:
    return ballot.open_ballot(demo.private, demo.manifest, style, tag, payload, m=m)
