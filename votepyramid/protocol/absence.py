"""Proof that no vote stands under a tag: the Merkle tree of the sorted tags.

The leaves are the 32-byte tags of all votes, each once, in ascending order of their
bytes; hashing is RFC 6962's. A tag is absent when the two tags around its place are
neighbours in the tree: both are shown with their paths. At either end one is enough,
and in an empty tree none.

A root says nothing about its order by itself: whoever signs it could have left a tag
out or sorted wrongly. The tags are public, in the leaves of the receipt log, so anyone
makes the root again from the log and compares.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from votepyramid.protocol import merkle
from votepyramid.protocol.encoding import (
    NotCanonical,
    ProtocolError,
    b64u,
    jcs,
    strict_json,
    unb64u,
)
from votepyramid.protocol.leaf import leaf_hash
from votepyramid.protocol.merkle import (
    EMPTY_ROOT,
    MAX_PROOF_HASHES,
    CompactRange,
    Node,
    ProofError,
)

MAX_ABSENCE_BYTES = 16 * 1024
TAG_BYTES = 32
_FIELDS = {"left", "right", "v"}
_SIDE_FIELDS = {"hashes", "index", "tag"}


class AbsenceError(ProtocolError):
    """Tags make no tree, or a proof of absence is malformed or does not hold."""


class Neighbour(NamedTuple):
    """A tag in the tree: its place, its 32 bytes, its path (leaf's sibling first)."""

    place: int
    tag: bytes
    hashes: tuple[bytes, ...]


class AbsenceProof(NamedTuple):
    """The largest tag below and the smallest above; None where there is none."""

    left: Neighbour | None
    right: Neighbour | None


class TagTree:
    """The tree of an election's tags, in memory: some 250 bytes a tag."""

    def __init__(self, tags: Iterable[bytes]) -> None:
        """Sort the tags. Raises AbsenceError for one twice or not of 32 bytes."""
        self._tags = sorted(tags)
        for tag, after in zip(self._tags, self._tags[1:], strict=False):
            if tag == after:
                raise AbsenceError("a tag is there twice")
        if any(len(tag) != TAG_BYTES for tag in self._tags):
            raise AbsenceError("a tag has 32 bytes")
        tree = CompactRange()
        # Every level is kept, so that a path is a matter of looking up.
        self._levels = tree.extend([leaf_hash(tag) for tag in self._tags], every=1)
        self._root = tree.root()

    @property
    def size(self) -> int:
        return len(self._tags)

    @property
    def root(self) -> bytes:
        """The root, 32 bytes; that of no leaves for no tags."""
        return self._root

    def prove_absence(self, tag: bytes) -> AbsenceProof:
        """The proof that `tag` is not in the tree. Raises AbsenceError if it is."""
        if len(tag) != TAG_BYTES:
            raise AbsenceError("a tag has 32 bytes")
        at = bisect_left(self._tags, tag)
        if at < self.size and self._tags[at] == tag:
            raise AbsenceError("the tag is in the tree")
        left = self._neighbour(at - 1) if at > 0 else None
        right = self._neighbour(at) if at < self.size else None
        return AbsenceProof(left, right)

    def _neighbour(self, place: int) -> Neighbour:
        path = merkle.inclusion_proof(place, self.size, self._read)
        return Neighbour(place, self._tags[place], tuple(path))

    def _read(self, nodes: Sequence[Node]) -> list[bytes]:
        return [self._levels[node.level][node.index] for node in nodes]


def verify_absence(root: bytes, size: int, tag: bytes, proof: AbsenceProof) -> None:
    """Raise AbsenceError unless no leaf of the sorted tree of that root is `tag`.

    Root and size come from one signed statement; see above on what it says.
    """
    if len(tag) != TAG_BYTES:
        raise AbsenceError("a tag has 32 bytes")
    if size == 0:
        if proof != AbsenceProof(None, None) or root != EMPTY_ROOT:
            raise AbsenceError("an empty tree has its own root and no neighbours")
        return
    left, right = proof
    # Where a neighbour is missing, the other must be the first or the last of all.
    below = left.place if left is not None else -1
    above = right.place if right is not None else size
    if above != below + 1:
        raise AbsenceError("the tags shown are not neighbours")
    if left is not None and not left.tag < tag:
        raise AbsenceError("the left neighbour is not below the tag")
    if right is not None and not tag < right.tag:
        raise AbsenceError("the right neighbour is not above the tag")
    for side in filter(None, (left, right)):
        _verify_place(side, size, root)


def absence_bytes(proof: AbsenceProof) -> bytes:
    """The canonical JSON of {left, right, v: 1}.

    A side is null or {hashes, index, tag}, with base64url of 32 bytes each. Raises
    NotCanonical for an index from 2**53 on.
    """
    sides = {"left": _side_value(proof.left), "right": _side_value(proof.right)}
    return jcs({**sides, "v": 1})


def parse_absence(data: bytes) -> AbsenceProof:
    """Read a proof's JSON, unverified. Raises ProtocolError unless canonical."""
    value = strict_json(data, MAX_ABSENCE_BYTES)
    if not isinstance(value, dict) or set(value) != _FIELDS:
        raise NotCanonical("a proof of absence has exactly left, right, v")
    if value["v"] != 1:
        raise NotCanonical("a proof of absence of an unknown version")
    proof = AbsenceProof(_side(value["left"]), _side(value["right"]))
    if absence_bytes(proof) != data:
        raise NotCanonical("a proof of absence is not canonical JSON")
    return proof


def _verify_place(side: Neighbour, size: int, root: bytes) -> None:
    if len(side.tag) != TAG_BYTES:
        raise AbsenceError("a tag has 32 bytes")
    try:
        hashed = leaf_hash(side.tag)
        merkle.verify_inclusion(hashed, side.place, size, side.hashes, root)
    except ProofError as error:
        raise AbsenceError(f"a neighbour is not in the tree: {error.problem}") from None


def _side_value(side: Neighbour | None) -> dict[str, Any] | None:
    if side is None:
        return None
    hashes = [b64u(one) for one in side.hashes]
    return {"hashes": hashes, "index": side.place, "tag": b64u(side.tag)}


def _side(value: Any) -> Neighbour | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != _SIDE_FIELDS:
        raise NotCanonical("a neighbour has exactly hashes, index, tag")
    place, hashes = value["index"], value["hashes"]
    if type(place) is not int or place < 0:
        raise NotCanonical("a neighbour's index is a number from 0")
    if not isinstance(hashes, list) or len(hashes) > MAX_PROOF_HASHES:
        raise NotCanonical("a neighbour's path is a list of at most 63 hashes")
    path = tuple(unb64u(one, 32) for one in hashes)
    return Neighbour(place, unb64u(value["tag"], TAG_BYTES), path)
