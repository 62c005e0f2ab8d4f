"""The public record of one vote: a leaf of the election's log.

It holds no voter, time, style or address: only the election `e`, the manifest hash
`m`, the ciphertext hash `c` and the token tag `t`.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from votepyramid.protocol.encoding import (
    NotCanonical,
    b64u,
    check_id,
    jcs,
    strict_json,
    unb64u,
)

MAX_LEAF_BYTES = 512
_FIELDS = {"c", "e", "m", "t", "v"}


class Leaf(NamedTuple):
    """The fields of a leaf; hashes as 32 raw bytes."""

    c: bytes
    e: str
    m: bytes
    t: bytes


def leaf_bytes(c: bytes, e: str, m: bytes, t: bytes) -> bytes:
    """The canonical JSON of a leaf (RFC 8785), its hashes as base64url."""
    for value in (c, m, t):
        if len(value) != 32:
            raise NotCanonical("a leaf's hash has 32 bytes")
    return jcs({"c": b64u(c), "e": check_id(e), "m": b64u(m), "t": b64u(t), "v": 1})


def leaf_hash(leaf: bytes) -> bytes:
    """The Merkle leaf hash, 32 bytes: SHA-256(0x00 || leaf), RFC 6962 section 2.1."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def receipt_hash(leaf: bytes) -> str:
    """The leaf hash as 64 hex digits: what a voter looks a receipt up by."""
    return leaf_hash(leaf).hex()


def parse_leaf(leaf: bytes) -> Leaf:
    """The fields of a leaf's bytes. Raises ProtocolError unless canonical."""
    parsed = leaf_fields(strict_json(leaf, MAX_LEAF_BYTES))
    if leaf_bytes(*parsed) != leaf:
        raise NotCanonical("a leaf is not canonical JSON")
    return parsed


def leaf_fields(value: Any) -> Leaf:
    """The fields of a leaf's JSON object. Raises NotCanonical."""
    if not isinstance(value, dict) or set(value) != _FIELDS:
        raise NotCanonical("a leaf has exactly the fields c, e, m, t, v")
    if type(value["v"]) is not int or value["v"] != 1:
        raise NotCanonical("a leaf of an unknown version")
    c, m, t = (unb64u(value[name], 32) for name in "cmt")
    return Leaf(c, check_id(value["e"]), m, t)
