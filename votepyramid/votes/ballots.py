"""What a cast is, once its bytes are parsed: a ballot under a token, and its receipt.

Everything here is computed from what the voter sent, in the byte definitions of
`votepyramid.protocol`; nothing is looked up.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from votepyramid.elections.service import FixedManifest
from votepyramid.errors import Code
from votepyramid.protocol import identifiers
from votepyramid.protocol.leaf import leaf_bytes, receipt_hash
from votepyramid.protocol.manifest import ciphertext_length


@dataclass(frozen=True)
class Submission:
    """The cast request: bearer, sealed ballot and what it is declared to be."""

    bearer: uuid.UUID
    payload: bytes
    style: str
    suite: str
    key_id: bytes
    manifest_hash: bytes


@dataclass(frozen=True)
class CastBallot:
    """A submission without its bearer: all that goes further than the view.

    `token_id` is d, `tag` t, `ciphertext_hash` c; `receipt_hash` is the hex leaf
    hash the voter's client computed for itself.
    """

    election: str
    token_id: uuid.UUID
    tag: bytes
    ciphertext_hash: bytes
    receipt_hash: str
    payload: bytes
    style: str
    suite: str
    key_id: bytes
    manifest_hash: bytes


def identify(election: str, m: bytes, cast: Submission) -> CastBallot:
    """Derive the identifiers. `m` is the election's own manifest hash.

    Tag and leaf take the *declared* manifest hash, as the client did: a ballot for
    another manifest gets the receipt hash its client expects, and is refused.
    """
    declared = cast.manifest_hash
    tag = identifiers.token_tag(election, declared, cast.bearer)
    c = identifiers.ciphertext_hash(cast.suite, cast.key_id, cast.style, cast.payload)
    return CastBallot(
        election=election,
        token_id=identifiers.token_id(election, m, cast.bearer),
        tag=tag,
        ciphertext_hash=c,
        receipt_hash=receipt_hash(leaf_bytes(c, election, declared, tag)),
        payload=cast.payload,
        style=cast.style,
        suite=cast.suite,
        key_id=cast.key_id,
        manifest_hash=declared,
    )


def too_long(known: FixedManifest, cast: Submission) -> Code | None:
    """Why a payload longer than every ballot of its election is refused; else None.

    Asked before any workflow, whose history would keep it. A wrong length that a
    ballot could have is judged there, and leaves its row.
    """
    if len(cast.payload) <= known.longest_ballot:
        return None
    styles = [style["id"] for style in known.manifest["styles"]]
    return judge(
        known.manifest,
        known.manifest_hash,
        cast.style if cast.style in styles else styles[0],
        style=cast.style,
        suite=cast.suite,
        key_id=cast.key_id.hex(),
        manifest_hash=cast.manifest_hash.hex(),
        payload_bytes=len(cast.payload),
    )


def judge(
    manifest: dict[str, Any],
    m: bytes,
    token_style: str,
    *,
    style: str,
    suite: str,
    key_id: str,
    manifest_hash: str,
    payload_bytes: int,
) -> Code | None:
    """Whether a ballot is what its election and token call for; None when it is.

    What was bound inside the seal cannot be seen: that shows when trustees open.
    """
    if manifest_hash != m.hex():
        return Code.MANIFEST_MISMATCH
    if style != token_style:
        return Code.STYLE_MISMATCH
    if suite != manifest["suite"]:
        return Code.SUITE_MISMATCH
    if key_id != manifest["key_id"]:
        return Code.KEY_MISMATCH
    if payload_bytes != ciphertext_length(manifest, token_style):
        return Code.BALLOT_LENGTH
    return None
