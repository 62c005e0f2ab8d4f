"""Merkle trees against the recursive definition, and proofs against every change."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol import rfc6962
from tests.protocol.support import flip, relaxed
from tests.protocol.trees import (
    REFERENCE_LEAVES,
    REFERENCE_ROOTS,
    leaf_hashes,
    reader,
    wrong_growths,
    wrong_inclusions,
)
from votepyramid.protocol import merkle
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.leaf import leaf_hash
from votepyramid.protocol.merkle import CompactRange, MerkleError, Node, ProofError

SIZES = st.integers(1, 700)


def test_published_roots() -> None:
    hashes = [leaf_hash(entry) for entry in REFERENCE_LEAVES]
    found = [merkle.root(hashes[:size]) for size in range(1, 9)]
    assert found == REFERENCE_ROOTS
    assert merkle.root([]) == merkle.EMPTY_ROOT == rfc6962.mth([])


def test_roots_are_those_of_the_definition() -> None:
    hashes = leaf_hashes(300)
    tree = CompactRange()
    for size in range(301):
        assert tree.size == size
        assert tree.root() == rfc6962.mth(hashes[:size])
        assert merkle.fold(tree.hashes) == tree.root()
        if size < 300:
            tree.append(hashes[size])


@relaxed
@given(st.lists(st.integers(0, 400), max_size=6))
def test_batches_of_any_size_make_the_same_tree(batches: list[int]) -> None:
    hashes = leaf_hashes(sum(batches))
    tree, made = CompactRange(), [list[bytes]() for _ in range(4)]
    for batch in batches:
        resumed = CompactRange(tree.size, tree.hashes)
        new = hashes[tree.size : tree.size + batch]
        for k, nodes in enumerate(tree.extend(new, every=3)):
            made[k] += nodes
        resumed.extend(new)
        assert resumed.hashes == tree.hashes
    assert tree.root() == merkle.root(hashes)
    read = reader(hashes)
    for k, nodes in enumerate(made):
        whole = len(hashes) >> 3 * k
        assert nodes == read([Node(3 * k, index) for index in range(whole)])


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_subtrees_are_complete_and_cover_the_range(a: int, b: int) -> None:
    begin, end = min(a, b), max(a, b)
    at = begin
    for node in merkle.subtrees(begin, end):
        assert node.index << node.level == at
        at += 1 << node.level
    assert at == end


@relaxed
@given(SIZES, st.data())
def test_inclusion(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    hashes = leaf_hashes(size)
    root = rfc6962.mth(hashes)
    proof = merkle.inclusion_proof(index, size, reader(hashes))
    assert proof == rfc6962.path(index, hashes)
    merkle.verify_inclusion(hashes[index], index, size, proof, root)
    mask = data.draw(st.integers(1, 255))
    for case in wrong_inclusions(hashes[index], index, size, proof, root):
        refused_inclusion(*case)
    for at in range(32):
        refused_inclusion(flip(hashes[index], at, mask), index, size, proof, root)
        refused_inclusion(hashes[index], index, size, proof, flip(root, at, mask))
        for n, one in enumerate(proof):
            changed = [*proof[:n], flip(one, at, mask), *proof[n + 1 :]]
            refused_inclusion(hashes[index], index, size, changed, root)
    other = data.draw(st.integers(0, size - 1).filter(lambda n: n != index) | st.none())
    if other is not None:
        refused_inclusion(hashes[index], other, size, proof, root)


def refused_inclusion(
    leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes
) -> None:
    with pytest.raises(ProofError):
        merkle.verify_inclusion(leaf, index, size, proof, root)


@relaxed
@given(SIZES, st.data())
def test_consistency(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    hashes = leaf_hashes(new)
    roots = rfc6962.mth(hashes[:old]), rfc6962.mth(hashes)
    proof = merkle.consistency_proof(old, new, reader(hashes))
    assert proof == rfc6962.proof(old, hashes)
    merkle.verify_consistency(old, new, proof, *roots)
    mask = data.draw(st.integers(1, 255))
    for at in range(32):
        refused_growth(old, new, proof, flip(roots[0], at, mask), roots[1])
        refused_growth(old, new, proof, roots[0], flip(roots[1], at, mask))
        for n, one in enumerate(proof):
            changed = [*proof[:n], flip(one, at, mask), *proof[n + 1 :]]
            refused_growth(old, new, changed, *roots)
    if proof:
        for case in wrong_growths(old, new, proof, *roots):
            refused_growth(*case)


def refused_growth(
    old: int, new: int, proof: list[bytes], old_root: bytes, new_root: bytes
) -> None:
    with pytest.raises(ProofError):
        merkle.verify_consistency(old, new, proof, old_root, new_root)


def test_every_pair_of_small_sizes() -> None:
    hashes = leaf_hashes(70)
    read = reader(hashes)
    roots = [rfc6962.mth(hashes[:size]) for size in range(71)]
    for new in range(71):
        for old in range(new + 1):
            growth = merkle.consistency_proof(old, new, read)
            merkle.verify_consistency(old, new, growth, roots[old], roots[new])
        for index in range(new):
            path = merkle.inclusion_proof(index, new, read)
            merkle.verify_inclusion(hashes[index], index, new, path, roots[new])


def test_sizes_at_the_edges() -> None:
    one, empty = leaf_hashes(1)[0], merkle.EMPTY_ROOT
    merkle.verify_inclusion(one, 0, 1, [], one)
    merkle.verify_consistency(0, 0, [], empty, empty)
    merkle.verify_consistency(0, 1, [], empty, one)
    merkle.verify_consistency(1, 1, [], one, one)
    for index, size in ((0, 0), (1, 0), (1, 1), (2, 1), (-1, 1), (0, -1), (0, 2**63)):
        refused_inclusion(one, index, size, [], one)
        refused_inclusion(one, index, size, [], empty)
    refused_inclusion(b"", 0, 1, [], b"")
    refused_inclusion(one[:31], 0, 1, [], one[:31])
    for case in (
        (0, 0, [], one, one),
        (0, 0, [], empty, one),
        (0, 1, [], one, one),
        (0, 1, [empty], empty, one),
        (0, 0, [empty], empty, empty),
        (1, 1, [one], one, one),
        (1, 1, [], one, empty),
        (1, 0, [], one, empty),
        (2, 1, [], one, one),
        (1, 2, [], one, one),
        (-1, 1, [], empty, one),
        (1, 2**63, [one], one, one),
        (1, 1, [], b"", b""),
    ):
        refused_growth(*case)


def test_a_size_is_only_known_with_its_root() -> None:
    """Leaf 0 has a path of two hashes among 3 leaves and among 4.

    So whoever verifies takes size and root from one signed checkpoint, never the
    size from elsewhere.
    """
    hashes = leaf_hashes(3)
    path = merkle.inclusion_proof(0, 3, reader(hashes))
    merkle.verify_inclusion(hashes[0], 0, 4, path, rfc6962.mth(hashes))
    refused_inclusion(hashes[0], 0, 5, path, rfc6962.mth(hashes))


def test_proofs_of_a_larger_tree_do_not_pass_for_a_smaller_one() -> None:
    """Each chains to the right root: only the numbers give it away."""
    hashes = leaf_hashes(8)
    roots = [rfc6962.mth(hashes[:size]) for size in range(9)]
    third, last = rfc6962.path(2, hashes[:4]), rfc6962.path(7, hashes)
    with pytest.raises(ProofError, match="index"):
        merkle.verify_inclusion(hashes[2], 2, 2, third, roots[4])
    with pytest.raises(ProofError, match="number"):
        merkle.verify_inclusion(hashes[7], 3, 4, last, roots[8])
    growth = rfc6962.proof(7, hashes)
    with pytest.raises(ProofError, match="number"):
        merkle.verify_consistency(3, 4, growth, roots[7], roots[8])


def test_a_billion_leaves_cost_thirty_hashes() -> None:
    """Positions and lengths at sizes that no test could build."""
    for size in (2**30, 2**30 + 1, 10**9, merkle.MAX_SIZE):
        for index in (0, 1, size // 3, size - 1):
            groups = merkle.inclusion_nodes(index, size)
            assert len(groups) <= min(63, size.bit_length())
            covered = sum(1 << node.level for group in groups for node in group)
            assert covered == size - 1
            fake = [bytes([n]) * 32 for n in range(len(groups))]
            with pytest.raises(ProofError, match="another root"):
                merkle.verify_inclusion(bytes(32), index, size, fake, bytes(32))


def test_what_cannot_be_proved_is_refused() -> None:
    hashes = leaf_hashes(5)
    read = reader(hashes)
    for index, size in ((5, 5), (-1, 5), (0, 0), (0, 2**63)):
        with pytest.raises(MerkleError):
            merkle.inclusion_proof(index, size, read)
    for old, new in ((6, 5), (-1, 5), (1, 2**63)):
        with pytest.raises(MerkleError):
            merkle.consistency_proof(old, new, read)
    for answer in ([], [b""] * 3, [bytes(31)] * 3, [bytes(32)] * 4):
        with pytest.raises(MerkleError):
            merkle.inclusion_proof(0, 5, lambda nodes, given=answer: given)


def test_ranges_that_are_malformed() -> None:
    hashes = CompactRange(0)
    hashes.extend(leaf_hashes(6))
    for size, given_hashes in (
        (6, hashes.hashes[:1]),
        (7, hashes.hashes),
        (-1, ()),
        (2**63, hashes.hashes),
        (6, (b"", b"")),
    ):
        with pytest.raises(MerkleError):
            CompactRange(size, given_hashes)
    before = hashes.hashes
    with pytest.raises(MerkleError):
        hashes.extend([bytes(32), bytes(33)])
    assert (hashes.size, hashes.hashes) == (6, before)
    assert issubclass(MerkleError, ProtocolError)


def test_a_tree_does_not_outgrow_its_bound() -> None:
    full = CompactRange(2**63 - 1, [bytes(32)] * 63)
    with pytest.raises(MerkleError):
        full.append(random.randbytes(32))
