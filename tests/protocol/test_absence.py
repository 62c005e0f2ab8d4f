"""Absence: true for every tag that is not there, for none that is."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol import rfc6962
from tests.protocol.support import flip, relaxed, thorough
from votepyramid.protocol import absence
from votepyramid.protocol.absence import (
    AbsenceError,
    AbsenceProof,
    Neighbour,
    TagTree,
)
from votepyramid.protocol.encoding import ProtocolError, jcs
from votepyramid.protocol.merkle import EMPTY_ROOT

TAG = st.integers(0, 30).map(lambda n: bytes(31) + bytes([n])) | st.binary(
    min_size=32, max_size=32
)


def tags(number: int) -> list[bytes]:
    return [hashlib.sha256(b"tag %d" % n).digest() for n in range(number)]


def refused(root: bytes, size: int, tag: bytes, proof: AbsenceProof) -> None:
    with pytest.raises(AbsenceError):
        absence.verify_absence(root, size, tag, proof)


@relaxed
@given(st.sets(TAG, max_size=40), TAG)
def test_a_tag_is_there_or_proved_absent(present: set[bytes], tag: bytes) -> None:
    tree = TagTree(present)
    hashes = [rfc6962.leaf(one) for one in sorted(present)]
    assert (tree.size, tree.root) == (len(present), rfc6962.mth(hashes))
    if tag in present:
        with pytest.raises(AbsenceError, match="in the tree"):
            tree.prove_absence(tag)
        return
    proof = tree.prove_absence(tag)
    absence.verify_absence(tree.root, tree.size, tag, proof)
    assert absence.parse_absence(absence.absence_bytes(proof)) == proof
    for one in present:
        refused(tree.root, tree.size, one, proof)


def test_the_four_places() -> None:
    tree = TagTree(bytes(31) + bytes([n]) for n in (10, 20, 30))
    places = {}
    for n in (5, 15, 25, 35):
        proof = tree.prove_absence(bytes(31) + bytes([n]))
        places[n] = tuple(side and side.place for side in proof)
    assert places == {5: (None, 0), 15: (0, 1), 25: (1, 2), 35: (2, None)}
    nobody = TagTree([])
    assert (nobody.size, nobody.root) == (0, EMPTY_ROOT)
    proof = nobody.prove_absence(bytes(32))
    assert proof == AbsenceProof(None, None)
    absence.verify_absence(EMPTY_ROOT, 0, bytes(32), proof)


@relaxed
@given(st.integers(1, 60), st.integers(0, 2**32))
def test_every_change_of_a_proof_is_refused(size: int, seed: int) -> None:
    tree = TagTree(tags(size))
    tag = hashlib.sha256(b"absent %d" % seed).digest()
    proof = tree.prove_absence(tag)
    for at in range(32):
        refused(flip(tree.root, at), tree.size, tag, proof)
    for name in ("left", "right"):
        side = getattr(proof, name)
        if side is None:
            continue
        wrong = [
            None,
            *(side._replace(place=place) for place in (side.place + 1, -1, size, 0)),
            *(side._replace(tag=flip(side.tag, at, 0x80)) for at in range(32)),
            side._replace(tag=side.tag[:31]),
            side._replace(tag=tag),
            side._replace(hashes=side.hashes[1:]),
            side._replace(hashes=(*side.hashes, tree.root)),
            *(
                side._replace(
                    hashes=(*side.hashes[:n], flip(one, 7), *side.hashes[n + 1 :])
                )
                for n, one in enumerate(side.hashes)
            ),
        ]
        for changed in wrong:
            if changed != side:
                refused(tree.root, size, tag, proof._replace(**{name: changed}))
    refused(tree.root, size, tag, AbsenceProof(None, None))
    refused(tree.root, 0, tag, proof)
    refused(tree.root, -1, tag, proof)
    refused(tree.root, 2**63, tag, proof)


def test_true_neighbours_that_are_not_the_tags() -> None:
    """Each part holds by itself; together they prove nothing of this tag."""
    ordered = sorted(tags(9))
    tree = TagTree(ordered)
    between = flip(ordered[4], 31)
    if not ordered[4] < between < ordered[5]:
        between = ordered[4][:-1] + bytes([ordered[4][-1] - 1])
    for n in range(9):
        for m in range(9):
            pair = AbsenceProof(tree._neighbour(n), tree._neighbour(m))
            lower, upper = ordered[n], ordered[m]
            if m == n + 1 and lower < between < upper:
                absence.verify_absence(tree.root, 9, between, pair)
            else:
                refused(tree.root, 9, between, pair)
            refused(tree.root, 9, lower, pair)
            refused(tree.root, 9, upper, pair)
        refused(tree.root, 9, between, AbsenceProof(tree._neighbour(n), None))
        refused(tree.root, 9, between, AbsenceProof(None, tree._neighbour(n)))


def test_an_empty_tree_has_no_other_root() -> None:
    nothing = AbsenceProof(None, None)
    refused(bytes(32), 0, bytes(32), nothing)
    refused(EMPTY_ROOT, 1, bytes(32), nothing)
    refused(EMPTY_ROOT, 0, bytes(31), nothing)
    side = TagTree(tags(1))._neighbour(0)
    refused(EMPTY_ROOT, 0, bytes(32), AbsenceProof(None, side))


def test_a_neighbour_is_a_whole_tag() -> None:
    """A tree over anything else is not one of tags, whatever its root says."""
    side = Neighbour(0, b"short", ())
    refused(rfc6962.leaf(b"short"), 1, b"z" * 32, AbsenceProof(side, None))


def test_tags_that_make_no_tree() -> None:
    one, two = tags(2)
    for bad in ([one, two, one], [one, b"short"], [one, two + b"\0"]):
        with pytest.raises(AbsenceError):
            TagTree(bad)
    with pytest.raises(AbsenceError):
        TagTree([one]).prove_absence(b"short")


def test_proofs_have_one_spelling() -> None:
    proof = TagTree(tags(9)).prove_absence(bytes(32))
    data = absence.absence_bytes(proof)
    assert data.startswith(b'{"left":null,"right":{"hashes":["')
    assert data.endswith(b'"},"v":1}')
    for bad in (
        b"",
        b"null",
        b"[]",
        b" " + data,
        data.replace(b'"v":1', b'"v":2'),
        data.replace(b'"v":1', b'"v":1.0'),
        data.replace(b'"v":1', b'"v":true'),
        data.replace(b'"v":1', b'"u":1,"v":1'),
        data.replace(b'"left":null,', b""),
        data.replace(b'"left":null', b'"left":[]'),
        data.replace(b'"left":null', b'"left":{}'),
        data.replace(b'"index":0', b'"index":-1'),
        data.replace(b'"index":0', b'"index":0.0'),
        data.replace(b'"index":0', b'"index":false'),
        data.replace(b'"index":0', b'"index":"0"'),
        data.replace(b'"index":0,', b""),
        data.replace(b'"hashes":["', b'"hashes":["AA","'),
        data.replace(b'"hashes":["', b'"hashes":[null,"'),
        data.replace(b'"tag":"', b'"tag":"A'),
        data.replace(b'"tag":"', b'"tag":null,"tag":"'),
        jcs({"left": None, "right": {"hashes": {}, "index": 0, "tag": ""}, "v": 1}),
        data + b" " * absence.MAX_ABSENCE_BYTES,
    ):
        with pytest.raises(ProtocolError):
            absence.parse_absence(bad)
    with pytest.raises(ProtocolError, match="unknown version"):
        absence.parse_absence(data.replace(b'"v":1', b'"v":2'))
    long = Neighbour(0, bytes(32), (bytes(32),) * 64)
    with pytest.raises(ProtocolError, match="at most"):
        absence.parse_absence(absence.absence_bytes(AbsenceProof(None, long)))


@thorough
@given(st.binary(max_size=80))
def test_arbitrary_bytes_raise_protocol_errors_only(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        absence.parse_absence(data)
