"""Sealed before the clock starts: a generator's ballots, and the check of receipts."""

from __future__ import annotations

import json
import random
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.election import CHOICES, ID, RANKS, STYLE
from bench.rounds import Spec
from votepyramid.protocol.ballot import SealedBallot, seal_ballot
from votepyramid.protocol.encoding import b64u
from votepyramid.protocol.identifiers import manifest_hash, token_id
from votepyramid.protocol.verify import verify_receipt
from workflows.messages import CastVote


class Ballots:
    """One round's ballots in the order they are cast."""

    def __init__(self, spec: Spec) -> None:
        signed = json.loads(Path(spec.manifest).read_text())
        self.manifest: dict[str, Any] = signed["manifest"]
        self.m = manifest_hash(self.manifest)
        self.bearers: list[uuid.UUID] = spec.bearer_list()
        self.sealed: list[SealedBallot] = [self._seal(b) for b in self.bearers]

    def __len__(self) -> int:
        return len(self.sealed)

    def verify(self, number: int, answer: bytes) -> None:
        """Raises VerificationError unless it is this ballot's receipt."""
        verify_receipt(
            answer,
            manifest=self.manifest,
            bearer=self.bearers[number],
            style=STYLE,
            payload=self.sealed[number].payload,
            m=self.m,
        )

    def vote(self, number: int) -> CastVote:
        """What the engine's web process would have made of the request."""
        sealed, bearer = self.sealed[number], self.bearers[number]
        return CastVote(
            receipt_hash=sealed.receipt_hash,
            token_id=str(token_id(ID, self.m, bearer)),
            tag=b64u(sealed.t),
            ciphertext_hash=b64u(sealed.c),
            payload=b64u(sealed.payload),
            style=sealed.style,
            suite=sealed.suite,
            key_id=sealed.kid.hex(),
            manifest_hash=sealed.m.hex(),
            arrived_at=datetime.now(UTC).isoformat(),
        )

    def _seal(self, bearer: uuid.UUID) -> SealedBallot:
        ranked = random.sample(range(1, CHOICES + 1), RANKS)
        selections = {"mayor": [[f"c{choice}"] for choice in ranked]}
        return seal_ballot(self.manifest, STYLE, bearer, selections, m=self.m)
