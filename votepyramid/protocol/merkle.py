"""Merkle trees over leaf hashes: RFC 6962, section 2.1 (the same as RFC 9162's).

    leaf  SHA-256(0x00 || entry)           node  SHA-256(0x01 || left || right)
    root of no leaves  SHA-256("")

A hash is 32 raw bytes. A leaf hash is `leaf.leaf_hash(entry)`. A node (level, index)
is the root of the complete subtree over the leaves [index * 2**level,
(index + 1) * 2**level). Proofs are made from nodes that a reader hands in one call,
so that a log in a database or in tiles is asked once for the few that are needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from votepyramid.protocol.encoding import ProtocolError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
# C2SP's sizes fit a signed 64-bit number; so a proof never has more hashes than 63.
MAX_SIZE = 2**63 - 1
MAX_PROOF_HASHES = 63


class MerkleError(ProtocolError):
    """A tree, a range or a request for a proof is malformed."""


class ProofError(MerkleError):
    """A proof does not hold, or is not a proof at all."""


@dataclass(frozen=True, slots=True)
class Node:
    """A complete subtree of 2**level leaves."""

    level: int
    index: int


Reader = Callable[[Sequence[Node]], Sequence[bytes]]
"""Gives the hashes of the nodes asked for, in their order."""


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node from its children's."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """The root of the tree over these leaf hashes."""
    tree = CompactRange()
    tree.extend(leaf_hashes)
    return tree.root()


def subtrees(begin: int, end: int) -> list[Node]:
    """The fewest complete subtrees that make up the leaves [begin, end)."""
    nodes = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, (begin & -begin).bit_length() - 1)
        nodes.append(Node(level, begin >> level))
        begin += 1 << level
    return nodes


class CompactRange:
    """A tree that only grows: its size and the O(log size) hashes it needs for that.

    `hashes` are those of `subtrees(0, size)`. Raises MerkleError for another number
    of hashes, or one that is not 32 bytes long.
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        _check_size(size)
        nodes = subtrees(0, size)
        if len(hashes) != len(nodes):
            raise MerkleError("a range of that size has another number of hashes")
        _check_hashes(hashes)
        self.size = size
        self._edge = {node.level: h for node, h in zip(nodes, hashes, strict=True)}

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The hashes of `subtrees(0, size)`."""
        return tuple(self._edge[node.level] for node in subtrees(0, self.size))

    def append(self, leaf_hash: bytes) -> None:
        """Add one leaf hash."""
        self.extend([leaf_hash])

    def extend(self, leaf_hashes: Iterable[bytes], every: int = 8) -> list[list[bytes]]:
        """Add leaf hashes, and give the nodes this completed, as tiles want them.

        Item k holds the new nodes of level k * `every` in order; item 0 is the leaf
        hashes. Raises MerkleError, and adds nothing, when one is not 32 bytes long.
        """
        nodes = list(leaf_hashes)
        _check_hashes(nodes)
        _check_size(self.size + len(nodes))
        self.size += len(nodes)
        made: list[list[bytes]] = []
        level = 0
        # Level by level, so that the loop over hashes is one comprehension.
        while nodes:
            if level % every == 0:
                made.append(nodes)
            waiting = self._edge.pop(level, None)
            if waiting is not None:
                nodes = [waiting, *nodes]
            if len(nodes) % 2:
                self._edge[level] = nodes[-1]
            nodes = _parents(nodes)
            level += 1
        return made

    def root(self) -> bytes:
        """The root of the tree as it stands."""
        return fold(self.hashes)


def fold(hashes: Sequence[bytes]) -> bytes:
    """The hash over the leaves [begin, end) from those of `subtrees(begin, end)`.

    `begin` is a multiple of the largest of them, as it is at every split of a tree.
    """
    if not hashes:
        return EMPTY_ROOT
    result = hashes[-1]
    for left in reversed(hashes[:-1]):
        result = node_hash(left, result)
    return result


def inclusion_proof(index: int, size: int, read: Reader) -> list[bytes]:
    """The path of leaf `index` in the tree of `size` leaves, leaf's sibling first.

    RFC 6962, section 2.1.1. Raises MerkleError unless 0 <= index < size.
    """
    _check_size(size)
    if not 0 <= index < size:
        raise MerkleError("a leaf's index is below the tree's size")
    return _read_groups(inclusion_nodes(index, size), read)


def consistency_proof(old: int, new: int, read: Reader) -> list[bytes]:
    """That the tree of `new` leaves begins with the tree of `old` leaves.

    RFC 6962, section 2.1.2; nothing when the sizes are equal or `old` is 0, as
    C2SP tlog-witness has it. Raises MerkleError unless 0 <= old <= new.
    """
    _check_size(new)
    if not 0 <= old <= new:
        raise MerkleError("a consistency proof goes from a smaller to a larger size")
    return _read_groups(consistency_nodes(old, new), read)


def inclusion_nodes(index: int, size: int) -> list[list[Node]]:
    """For each hash of an inclusion proof the nodes it is folded from."""
    begin, end = 0, size
    groups = []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            groups.append(subtrees(middle, end))
            end = middle
        else:
            groups.append(subtrees(begin, middle))
            begin = middle
    return groups[::-1]


def consistency_nodes(old: int, new: int) -> list[list[Node]]:
    """For each hash of a consistency proof the nodes it is folded from."""
    if old == 0:
        return []
    begin, end = 0, new
    groups = []
    while end != old:
        middle = begin + _split(end - begin)
        if old <= middle:
            groups.append(subtrees(middle, end))
            end = middle
        else:
            groups.append(subtrees(begin, middle))
            begin = middle
    if begin:
        # The old tree's own root is known to who asks; a part of it is not.
        groups.append(subtrees(begin, end))
    return groups[::-1]


def verify_inclusion(
    leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Raise ProofError unless `leaf_hash` is leaf `index` of the tree of that root.

    RFC 9162, section 2.1.3.2. No leaf is in a tree of size 0; the number of hashes
    must be exactly what index and size ask for, each of 32 bytes.
    """
    _check_proof(size, [leaf_hash, root], proof)
    if not 0 <= index < size:
        raise ProofError("a leaf's index is not below the tree's size")
    inner, border = _lengths(index, size)
    if len(proof) != inner + border:
        raise ProofError("an inclusion proof has the wrong number of hashes")
    found = _chain_inner(leaf_hash, proof[:inner], index)
    if _chain_left(found, proof[inner:]) != root:
        raise ProofError("an inclusion proof leads to another root")


def verify_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Raise ProofError unless the tree `new` begins with the tree `old`.

    RFC 9162, section 2.1.4.2. From size 0 (which the RFC leaves out) the proof is
    empty and the old root must be that of no leaves; between equal sizes the proof
    is empty and the roots are equal.
    """
    _check_proof(new, [old_root, new_root], proof)
    if not 0 <= old <= new:
        raise ProofError("a log does not shrink")
    for size, claimed in ((old, old_root), (new, new_root)):
        if size == 0 and claimed != EMPTY_ROOT:
            raise ProofError("a tree of size 0 has the root of no leaves")
    if old in (0, new):
        if proof:
            raise ProofError("a consistency proof has hashes where none are needed")
        if old == new and old_root != new_root:
            raise ProofError("two trees of one size have different roots")
        return
    _verify_growth(old, new, list(proof), (old_root, new_root))


def _verify_growth(
    old: int, new: int, proof: list[bytes], roots: tuple[bytes, bytes]
) -> None:
    inner, border = _lengths(old - 1, new)
    shift = (old & -old).bit_length() - 1
    inner -= shift
    if old == 1 << shift:
        # The old tree is one complete subtree: its root is where both chains start.
        proof.insert(0, roots[0])
    if len(proof) != 1 + inner + border:
        raise ProofError("a consistency proof has the wrong number of hashes")
    seed, path, rest = proof[0], proof[1 : 1 + inner], proof[1 + inner :]
    index = (old - 1) >> shift
    lefts = [h for level, h in enumerate(path) if index >> level & 1]
    if _chain_left(_chain_left(seed, lefts), rest) != roots[0]:
        raise ProofError("a consistency proof leads to another old root")
    if _chain_left(_chain_inner(seed, path, index), rest) != roots[1]:
        raise ProofError("a consistency proof leads to another new root")


def _parents(nodes: list[bytes]) -> list[bytes]:
    sha256 = hashlib.sha256
    pairs = zip(nodes[::2], nodes[1::2], strict=False)
    return [sha256(b"\x01" + left + right).digest() for left, right in pairs]


def _split(leaves: int) -> int:
    """The largest power of two below a number of leaves above 1."""
    return 1 << ((leaves - 1).bit_length() - 1)


def _lengths(index: int, size: int) -> tuple[int, int]:
    """Hashes of a path below and above where it leaves the tree's right edge."""
    inner = (index ^ (size - 1)).bit_length()
    return inner, (index >> inner).bit_count()


def _chain_inner(seed: bytes, path: Sequence[bytes], index: int) -> bytes:
    for level, sibling in enumerate(path):
        if index >> level & 1:
            seed = node_hash(sibling, seed)
        else:
            seed = node_hash(seed, sibling)
    return seed


def _chain_left(seed: bytes, lefts: Sequence[bytes]) -> bytes:
    for left in lefts:
        seed = node_hash(left, seed)
    return seed


def _read_groups(groups: list[list[Node]], read: Reader) -> list[bytes]:
    nodes = [node for group in groups for node in group]
    hashes = list(read(nodes)) if nodes else []
    if len(hashes) != len(nodes):
        raise MerkleError("a reader gave another number of hashes")
    _check_hashes(hashes)
    proof, at = [], 0
    for group in groups:
        proof.append(fold(hashes[at : at + len(group)]))
        at += len(group)
    return proof


def _check_size(size: int) -> None:
    if not 0 <= size <= MAX_SIZE:
        raise MerkleError("a tree's size is from 0 to 2**63 - 1")


def _check_hashes(hashes: Iterable[bytes]) -> None:
    if any(len(h) != HASH_BYTES for h in hashes):
        raise MerkleError("a hash has 32 bytes")


def _check_proof(size: int, known: Sequence[bytes], proof: Sequence[bytes]) -> None:
    if not 0 <= size <= MAX_SIZE:
        raise ProofError("a tree's size is from 0 to 2**63 - 1")
    if any(len(h) != HASH_BYTES for h in (*known, *proof)):
        raise ProofError("a hash of a proof has not 32 bytes")
