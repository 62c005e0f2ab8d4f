"""One group of votes on its way through the deciding transaction.

Receipts are signed here, before any lock is taken (ADR 13): a signature for a vote
that then loses never leaves this process, and Ed25519 signs the same bytes alike.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from votepyramid.elections.service import ElectionView
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol.encoding import unb64u
from votepyramid.protocol.leaf import leaf_bytes
from votepyramid.protocol.receipt import answer_bytes, sign_receipt
from workflows.messages import VoteOutcome, VoteToRecord


@dataclass
class Vote:
    """One vote on its way through the transaction."""

    sent: VoteToRecord
    token: uuid.UUID
    tag: bytes
    c: bytes
    receipt: str = ""
    code: str | None = None
    done: VoteOutcome | None = None


@dataclass
class Group:
    """The votes of one workflow; `key_id` is that of the ballot box."""

    election: ElectionView
    group_id: str
    key_id: str
    votes: list[Vote] = field(default_factory=list)

    def fresh(self) -> Group:
        """A copy as it was prepared, for one more attempt."""
        return replace(self, votes=[*map(replace, self.votes)])


def prepare(
    keys: ElectionKeys,
    election: ElectionView,
    group_id: str,
    sent: Sequence[VoteToRecord],
) -> Group:
    """Read what was sent and sign the receipts of what may be recorded."""
    signer = keys.ballot_box(election.id)
    origin = election.manifest["receipts"]["origin"]
    group = Group(election, group_id, signer.verifier.key_id.hex())
    for one in sent:
        vote = Vote(
            one, uuid.UUID(one.token_id), unb64u(one.tag), unb64u(one.ciphertext_hash)
        )
        vote.code = one.code
        if one.code is None:
            m = election.manifest_hash
            leaf = leaf_bytes(vote.c, election.id, m, vote.tag)
            note = sign_receipt(signer, origin, m, leaf)
            vote.receipt = answer_bytes(leaf, note).decode()
        group.votes.append(vote)
    return group
