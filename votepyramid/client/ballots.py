"""What a voter holds: a token, a sealed ballot, a receipt; and the pinned election.

Nothing here shows a token in its representation, and nothing keeps choices.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from votepyramid.client.errors import (
    ChoicesError,
    ClientError,
    ManifestRejected,
    ReceiptInvalid,
)
from votepyramid.protocol import ballot as protocol_ballot
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.ballot import Selections
from votepyramid.protocol.encoding import ProtocolError, b64u, canonical_hex32
from votepyramid.protocol.identifiers import manifest_hash
from votepyramid.protocol.verify import (
    VerificationError,
    VerifiedReceipt,
    verify_receipt,
)


@dataclass(frozen=True)
class Token:
    """A one-time token: who holds `bearer` may cast one ballot of `style`."""

    bearer: uuid.UUID = field(repr=False)
    style: str
    m: bytes


@dataclass(frozen=True)
class SealedBallot:
    """A ballot ready to be sent, and sent again: always these very bytes."""

    election: str
    m: bytes
    style: str
    suite: str
    kid: bytes
    bearer: uuid.UUID = field(repr=False)
    payload: bytes = field(repr=False)
    receipt_hash: str

    @classmethod
    def of(
        cls, election: str, bearer: uuid.UUID, sealed: protocol_ballot.SealedBallot
    ) -> SealedBallot:
        """What `protocol.ballot.seal_ballot` made, for the one who holds `bearer`."""
        return cls(
            election=election,
            m=sealed.m,
            style=sealed.style,
            suite=sealed.suite,
            kid=sealed.kid,
            bearer=bearer,
            payload=sealed.payload,
            receipt_hash=sealed.receipt_hash,
        )

    def body(self) -> dict[str, str]:
        """The members of the cast request."""
        return {
            "token": str(self.bearer),
            "payload": b64u(self.payload),
            "style": self.style,
            "suite": self.suite,
            "key_id": self.kid.hex(),
            "manifest_hash": self.m.hex(),
        }


@dataclass(frozen=True)
class Receipt:
    """A receipt that was verified; `answer` are the ballot box's very bytes."""

    answer: bytes = field(repr=False)
    verified: VerifiedReceipt

    @property
    def receipt_hash(self) -> str:
        return self.verified.receipt_hash


@dataclass(frozen=True)
class PinnedElection:
    """An election whose manifest was checked against what the voter trusts."""

    manifest: manifests.Manifest = field(repr=False)
    m: bytes
    signed: dict[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        return str(self.manifest["id"])

    def seal(self, token: Token, selections: Selections) -> SealedBallot:
        """Seal choices for this token.

        Raises ChoicesError when they do not fit the token's ballot style, and
        ManifestRejected when the token was claimed under another manifest.
        """
        if token.m != self.m:
            raise ManifestRejected("the token belongs to another manifest")
        try:
            sealed = protocol_ballot.seal_ballot(
                self.manifest, token.style, token.bearer, selections, m=self.m
            )
        except protocol_ballot.SelectionError as error:
            raise ChoicesError(
                error.problem, "Correct the choices; nothing was sent."
            ) from None
        except ProtocolError as error:
            raise ClientError(
                f"the ballot cannot be sealed: {error.problem}",
                "Update the voting client, or ask the election office for help.",
            ) from None
        return SealedBallot.of(self.id, token.bearer, sealed)

    def verify(self, ballot: SealedBallot, answer: bytes) -> Receipt:
        """The receipt, if the answer is one for exactly this ballot.

        Raises ReceiptInvalid naming the check that failed.
        """
        try:
            verified = verify_receipt(
                answer,
                manifest=self.manifest,
                bearer=ballot.bearer,
                style=ballot.style,
                payload=ballot.payload,
                m=self.m,
            )
        except VerificationError as error:
            raise ReceiptInvalid(error.check, error.problem, answer) from None
        return Receipt(answer, verified)


def pin(
    signed: dict[str, Any],
    election: str,
    *,
    authority_vkey: str | None = None,
    pinned_hash: str | None = None,
) -> PinnedElection:
    """The election, if its manifest holds against every pin that is given.

    At least one pin is needed. Raises ManifestRejected.
    """
    if authority_vkey is None and pinned_hash is None:
        raise ManifestRejected(
            "nothing to check the manifest against",
            "Give the authority's key or the manifest hash that the election office "
            "published.",
        )
    try:
        if pinned_hash is not None:
            manifest = manifests.open_pinned(signed, canonical_hex32(pinned_hash))
        if authority_vkey is not None:
            manifest = manifests.open_manifest(signed, authority_vkey)
    except ProtocolError as error:
        raise ManifestRejected(
            f"the manifest is not trusted: {error.problem}"
        ) from None
    if manifest["id"] != election:
        raise ManifestRejected("the manifest is for another election")
    return PinnedElection(manifest, manifest_hash(manifest), signed)
