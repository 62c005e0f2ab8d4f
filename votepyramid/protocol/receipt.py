"""Receipts: the ballot box's signed promise that a vote is in the log.

A receipt is a signed note (C2SP signed-note v1.0.0) with the text

    evote/receipt/v1\n<origin>\n<manifest hash as hex>\n<base64 of the leaf hash>\n

The base64 is the standard one with padding, as in every C2SP note. The answer to a
cast is canonical JSON (RFC 8785), so that the same vote always gets the same bytes.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

from votepyramid.protocol import notes
from votepyramid.protocol.encoding import NotCanonical, jcs, strict_json
from votepyramid.protocol.leaf import (
    Leaf,
    leaf_bytes,
    leaf_fields,
    leaf_hash,
    parse_leaf,
    receipt_hash,
)

MAX_ANSWER_BYTES = 8 * 1024
_FIELDS = {"leaf", "note", "receipt_hash", "status"}


class Answer(NamedTuple):
    """What a voter gets for an accepted vote; `leaf` as its canonical bytes."""

    leaf: bytes
    fields: Leaf
    note: str
    receipt_hash: str


def receipt_text(origin: str, m: bytes, leaf_hash: bytes) -> str:
    """The text that the ballot box signs; both hashes are 32 bytes."""
    if len(m) != 32 or len(leaf_hash) != 32:
        raise NotCanonical("a receipt's hashes have 32 bytes")
    if not notes.is_name(origin):
        raise NotCanonical("a receipt's origin is a name without spaces")
    encoded = base64.b64encode(leaf_hash).decode("ascii")
    return f"evote/receipt/v1\n{origin}\n{m.hex()}\n{encoded}\n"


def sign_receipt(signer: notes.Signer, origin: str, m: bytes, leaf: bytes) -> str:
    """The receipt's signed note for a leaf's bytes."""
    return notes.sign(receipt_text(origin, m, leaf_hash(leaf)), signer)


def answer_bytes(leaf: bytes, note: str) -> bytes:
    """The canonical JSON of {leaf, note, receipt_hash, status: "accepted"}."""
    return jcs(
        {
            "leaf": strict_json(leaf_bytes(*parse_leaf(leaf)), len(leaf)),
            "note": note,
            "receipt_hash": receipt_hash(leaf),
            "status": "accepted",
        }
    )


def parse_answer(data: bytes) -> Answer:
    """Read an answer's bytes. Raises ProtocolError unless canonical and coherent.

    The note is not verified here: `verify.verify_receipt` does that.
    """
    value = strict_json(data, MAX_ANSWER_BYTES)
    if not isinstance(value, dict) or set(value) != _FIELDS:
        raise NotCanonical("an answer has exactly leaf, note, receipt_hash, status")
    if value["status"] != "accepted" or not isinstance(value["note"], str):
        raise NotCanonical("an answer's status or note is malformed")
    fields = leaf_fields(value["leaf"])
    leaf = leaf_bytes(*fields)
    if value["receipt_hash"] != receipt_hash(leaf):
        raise NotCanonical("an answer's receipt_hash is not its leaf's")
    if jcs(value) != data:
        raise NotCanonical("an answer is not canonical JSON")
    return Answer(leaf, fields, value["note"], receipt_hash(leaf))
