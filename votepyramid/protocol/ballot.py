"""From a voter's selections to a sealed ballot of fixed length, and back.

Selections name every contest of the ballot style and, for each rank, the marks:

    {"mayor": [["c3"], [], ["c1", "c2"]]}

an undervote is an empty list, an overvote lists all marks in the manifest's order.
The same choice may stand at several ranks, as voters do write it. The plaintext is
the canonical JSON, one byte 0x80 and zeros up to the style's fixed length, so that
a sealed ballot's length says nothing about its content.
"""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.encoding import ProtocolError, jcs, strict_json
from votepyramid.protocol.identifiers import (
    ballot_info,
    ciphertext_hash,
    manifest_hash,
    token_tag,
)
from votepyramid.protocol.leaf import leaf_bytes, receipt_hash
from votepyramid.protocol.suites import OpenError

Selections = dict[str, list[list[str]]]

_MARKER = b"\x80"


class SelectionError(ProtocolError):
    """Selections do not fit the ballot style; `contest` names where, or is None.

    The message names the contest and the kind of problem, never the marks.
    """

    def __init__(self, problem: str, contest: str | None = None) -> None:
        super().__init__(problem if contest is None else f"{contest}: {problem}")
        self.contest = contest


class PaddingError(ProtocolError):
    """A plaintext is too long for its style, or its padding is malformed."""


class SealedBallot(NamedTuple):
    """A ballot ready to be cast, with all that its receipt will be checked by."""

    payload: bytes
    c: bytes
    t: bytes
    leaf: bytes
    receipt_hash: str
    style: str
    suite: str
    kid: bytes
    m: bytes


def pad(data: bytes, length: int) -> bytes:
    """`data`, 0x80 and zeros: `length` bytes (ISO/IEC 7816-4). PaddingError."""
    if len(data) + 1 > length:
        raise PaddingError("a plaintext is too long for its ballot style")
    return (data + _MARKER).ljust(length, b"\0")


def unpad(padded: bytes) -> bytes:
    """What `pad` was given. Raises PaddingError."""
    stripped = padded.rstrip(b"\0")
    if not stripped.endswith(_MARKER):
        raise PaddingError("a plaintext's padding is malformed")
    return stripped[:-1]


def encode_selections(selections: Selections) -> bytes:
    """The canonical JSON of selections (RFC 8785)."""
    return jcs(selections)


def check_selections(
    manifest: manifests.Manifest, style: str, selections: Any
) -> Selections:
    """The selections, when they fit the ballot style. Raises SelectionError."""
    contests = manifests.contests(manifest, style)
    if not isinstance(selections, dict):
        raise SelectionError("selections are an object of contests")
    for contest in contests:
        if contest["id"] not in selections:
            raise SelectionError("the contest is missing", contest["id"])
    if len(selections) != len(contests):
        raise SelectionError("a contest is not on the ballot style")
    for contest in contests:
        _check_contest(contest, selections[contest["id"]])
    return selections


def seal_ballot(
    manifest: manifests.Manifest,
    style: str,
    bearer: uuid.UUID,
    selections: Selections,
    *,
    m: bytes | None = None,
) -> SealedBallot:
    """Seal a voter's selections, bound to election, style, key and token.

    `m` is the manifest's hash where the caller has it already. Raises
    SelectionError, ManifestError or SuiteError.
    """
    m = manifest_hash(manifest) if m is None else m
    key = manifests.election_key(manifest)
    e, suite = manifest["id"], key.suite.id
    data = encode_selections(check_selections(manifest, style, selections))
    plaintext = pad(data, manifests.plaintext_length(manifest, style))
    t = token_tag(e, m, bearer)
    info = ballot_info(e, m, style, suite, key.kid, t)
    payload = key.suite.seal(key.public, plaintext, info)
    c = ciphertext_hash(suite, key.kid, style, payload)
    leaf = leaf_bytes(c, e, m, t)
    return SealedBallot(
        payload, c, t, leaf, receipt_hash(leaf), style, suite, key.kid, m
    )


def open_ballot(
    private: bytes,
    manifest: manifests.Manifest,
    style: str,
    tag: bytes,
    payload: bytes,
    *,
    m: bytes | None = None,
) -> Selections:
    """The selections of a sealed ballot, with the trustees' raw private key.

    Raises OpenError when key, style, tag or bytes are not those it was sealed
    with, and PaddingError, ProtocolError or SelectionError when a hostile client
    sealed what is no ballot.
    """
    m = manifest_hash(manifest) if m is None else m
    key = manifests.election_key(manifest)
    if len(payload) != manifests.ciphertext_length(manifest, style):
        raise OpenError("a sealed ballot has not its style's length")
    info = ballot_info(manifest["id"], m, style, key.suite.id, key.kid, tag)
    try:
        plaintext = key.suite.open(private, payload, info)
    except OpenError:
        if key.suite.public_of(private) != key.public:
            raise OpenError("the private key is not this election's") from None
        raise
    data = unpad(plaintext)
    selections = check_selections(manifest, style, strict_json(data, len(data)))
    if encode_selections(selections) != data:
        raise SelectionError("selections are not canonical JSON")
    return selections


def _check_contest(contest: dict[str, Any], ranks: Any) -> None:
    name = contest["id"]
    if not isinstance(ranks, list) or len(ranks) != contest["ranks"]:
        raise SelectionError(f"not a list of {contest['ranks']} ranks", name)
    order = {choice: at for at, choice in enumerate(manifests.choices(contest))}
    for marks in ranks:
        if not isinstance(marks, list):
            raise SelectionError("a rank is not a list of marks", name)
        if any(not isinstance(mark, str) or mark not in order for mark in marks):
            raise SelectionError("a mark is not one of the choices", name)
        places = [order[mark] for mark in marks]
        if len(set(places)) != len(places):
            raise SelectionError("a rank marks a choice twice", name)
        if places != sorted(places):
            raise SelectionError("a rank's marks are not in manifest order", name)
