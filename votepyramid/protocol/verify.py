"""Check a receipt offline, from the voter's own data and the manifest."""

from __future__ import annotations

import uuid
from typing import NamedTuple

from votepyramid.protocol import notes
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.identifiers import (
    ciphertext_hash,
    manifest_hash,
    token_tag,
)
from votepyramid.protocol.leaf import leaf_bytes, leaf_hash
from votepyramid.protocol.manifest import (
    Manifest,
    ciphertext_length,
    election_key,
    receipt_key,
)
from votepyramid.protocol.receipt import Answer, parse_answer, receipt_text


class VerificationError(ProtocolError):
    """A receipt does not hold; `check` names the check that failed.

    One of: answer (malformed), manifest (unusable), payload (wrong length),
    election, manifest_hash, token, ciphertext, signature, text.
    """

    def __init__(self, check: str, problem: str) -> None:
        super().__init__(problem)
        self.check = check


class VerifiedReceipt(NamedTuple):
    """A receipt that holds: the ballot box promised to record this very ballot."""

    receipt_hash: str
    election: str
    origin: str
    leaf: bytes
    note: str
    key: notes.VerifierKey


def verify_receipt(
    answer: bytes,
    *,
    manifest: Manifest,
    bearer: uuid.UUID,
    style: str,
    payload: bytes,
    m: bytes | None = None,
) -> VerifiedReceipt:
    """The receipt, when it is the ballot box's promise for exactly this ballot.

    `answer` is the answer's bytes, `payload` the sealed ballot that was cast with
    the token `bearer`; the manifest must come from `open_manifest`/`open_pinned`.
    Raises VerificationError. It shows that a ciphertext was recorded, not what is
    in it.
    """
    try:
        parsed = parse_answer(answer)
    except ProtocolError as error:
        raise VerificationError("answer", error.problem) from None
    try:
        m = manifest_hash(manifest) if m is None else m
        origin, key = receipt_key(manifest)
        leaf = _own_leaf(manifest, m, bearer, style, payload)
    except VerificationError:
        raise
    except ProtocolError as error:
        raise VerificationError("manifest", error.problem) from None
    _compare(parsed, leaf)
    _check_note(parsed, key, receipt_text(origin, m, leaf_hash(parsed.leaf)))
    return VerifiedReceipt(
        parsed.receipt_hash, parsed.fields.e, origin, parsed.leaf, parsed.note, key
    )


class _Own(NamedTuple):
    c: bytes
    e: str
    m: bytes
    t: bytes


def _own_leaf(
    manifest: Manifest, m: bytes, bearer: uuid.UUID, style: str, payload: bytes
) -> _Own:
    election = election_key(manifest)
    if len(payload) != ciphertext_length(manifest, style):
        raise VerificationError("payload", "the ballot has not its style's length")
    e = manifest["id"]
    c = ciphertext_hash(election.suite.id, election.kid, style, payload)
    return _Own(c, e, m, token_tag(e, m, bearer))


def _compare(parsed: Answer, own: _Own) -> None:
    if parsed.fields.e != own.e:
        raise VerificationError("election", "the receipt is for another election")
    if parsed.fields.m != own.m:
        raise VerificationError("manifest_hash", "the receipt is for other rules")
    if parsed.fields.t != own.t:
        raise VerificationError("token", "the receipt is for another token")
    if parsed.fields.c != own.c:
        raise VerificationError("ciphertext", "the receipt is for another ballot")
    if parsed.leaf != leaf_bytes(*own):
        raise VerificationError("answer", "the receipt's leaf is malformed")


def _check_note(parsed: Answer, key: notes.VerifierKey, expected: str) -> None:
    try:
        text = notes.open(parsed.note, key).text
    except notes.NoteError as error:
        raise VerificationError("signature", error.problem) from None
    if text != expected:
        raise VerificationError("text", "the ballot box signed another receipt")
