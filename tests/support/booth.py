"""Votes by the steps that workers take, without Temporal: for what stands behind them.

booth = Booth(make_election(database, env))
booth.cast("v0", "v1")
late = booth.sealed("v2")               # claimed, sealed, enveloped
booth.record(late, engine)              # the transaction that decides, on that engine
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, select

from tests.support.elections import MadeElection
from tests.support.voting import SELECTIONS
from votepyramid.elections import service as elections
from votepyramid.elections.service import ElectionView
from votepyramid.eligibility.models import Voter
from votepyramid.protocol.ballot import seal_ballot
from votepyramid.protocol.encoding import b64u
from votepyramid.protocol.identifiers import token_id, token_tag
from votepyramid.tokens import service as tokens
from votepyramid.votes import recording
from votepyramid.votes import service as votes
from workflows.messages import Claim, VoteToEncrypt, VoteToRecord


@dataclass(frozen=True)
class Booth:
    """Where the voters of one election cast, each once."""

    election: MadeElection

    def cast(self, *voters: str) -> list[str]:
        """The receipt hashes of their recorded votes."""
        sealed = [self.sealed(voter) for voter in voters]
        return [self.record(one) for one in sealed]

    def sealed(self, voter: str) -> VoteToRecord:
        """A voter's ballot as the recording step gets it."""
        made, m = self.election, self.election.m
        bearer = self._claim(voter)
        ballot = seal_ballot(made.manifest, "north", bearer, SELECTIONS)
        sent = VoteToEncrypt(
            ballot.receipt_hash,
            b64u(ballot.payload),
            ballot.style,
            ballot.suite,
            ballot.kid.hex(),
            m.hex(),
        )
        (kept,) = votes.encrypt(made.keys, made.id, f"cast/{voter}", [sent])
        return VoteToRecord(
            receipt_hash=ballot.receipt_hash,
            token_id=str(token_id(made.id, m, bearer)),
            tag=b64u(token_tag(made.id, m, bearer)),
            ciphertext_hash=b64u(ballot.c),
            manifest_hash=m.hex(),
            code=None,
            reason=None,
            row_id=kept.row_id,
            snapshot=kept.snapshot,
        )

    def record(self, vote: VoteToRecord, engine: Engine | None = None) -> str:
        """Decide it in a transaction of its own; its receipt hash."""
        group = f"cast/{vote.receipt_hash}"
        ours = engine or self.election.engine
        (outcome,) = recording.record(
            ours, self.election.keys, self._view(), group, [vote]
        )
        assert outcome.code is None, outcome
        return vote.receipt_hash

    def _claim(self, voter: str) -> uuid.UUID:
        made = self.election
        with made.engine.connect() as connection:
            query = select(Voter.ref).where(
                Voter.election == made.id, Voter.voter_id == voter
            )
            ref = connection.execute(query).scalar_one()
        name = tokens.pseudonym(made.keys, made.id, voter)
        claim = Claim(
            tokens.claim_key(ref, name, None),
            str(ref),
            b64u(name),
            None,
            datetime.now(UTC).isoformat(),
        )
        view = self._view()
        with made.engine.connect() as connection:
            verdicts = tokens.check_claims(connection, view, [claim])
        tokens.issue(made.engine, made.keys, view, f"claim/{voter}", [claim], verdicts)
        return tokens.bearer(made.keys, made.id, made.m, voter, 0)

    def _view(self) -> ElectionView:
        with self.election.engine.connect() as connection:
            return elections.get(connection, self.election.id)
