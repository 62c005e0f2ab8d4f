"""The five steps, by the engine's own services where they can be shared.

Each is a regular activity with a transaction of its own. What the engine adds to the
steps (one transaction for the three writes, the group's note, the notification,
exactly-once when a step repeats) is left out here, in the textbook's favour.
"""

from __future__ import annotations

import json
import uuid

from sqlalchemy import Engine, update
from sqlalchemy.dialects.postgresql import insert
from temporalio import activity

from bench.textbook import messages as t
from votepyramid.audit import service as audit
from votepyramid.elections import service as elections
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol.encoding import unb64u
from votepyramid.protocol.leaf import leaf_bytes
from votepyramid.protocol.receipt import answer_bytes, sign_receipt
from votepyramid.tokens.models import VoteToken
from votepyramid.votes import service as votes
from votepyramid.votes.models import VoteSubmission
from workflows import messages as m


class TextbookSteps:
    """Synchronous, on the worker's threads, as the engine's steps are."""

    def __init__(self, engine: Engine, keys: ElectionKeys) -> None:
        self._engine = engine
        self._keys = keys

    @activity.defn(name=t.CHECK)
    def check(self, group: m.CheckEligibilityInput) -> m.Verdict:
        with self._engine.connect() as connection:
            election = elections.get(connection, group.election)
            return votes.check(connection, election, group.group_id, group.votes)[0]

    @activity.defn(name=t.ENCRYPT)
    def encrypt(self, group: m.EncryptBallotsInput) -> m.EncryptedBallot:
        e, group_id = group.election, group.group_id
        return votes.encrypt(self._keys, e, group_id, group.votes)[0]

    @activity.defn(name=t.STORE)
    def store(self, ballot: t.TextbookBallot) -> str:
        """The answer with the signed receipt; stored once however often it runs."""
        sent = ballot.vote
        if sent.row_id is None or sent.snapshot is None:
            raise ValueError("a vote to store needs its envelope")
        tag, c = unb64u(sent.tag), unb64u(sent.ciphertext_hash)
        signer = self._keys.ballot_box(ballot.election)
        with self._engine.begin() as connection:
            election = elections.get(connection, ballot.election)
            origin = election.manifest["receipts"]["origin"]
            leaf = leaf_bytes(c, election.id, election.manifest_hash, tag)
            note = sign_receipt(signer, origin, election.manifest_hash, leaf)
            answer = answer_bytes(leaf, note).decode()
            connection.execute(
                insert(VoteSubmission)
                .values(
                    id=uuid.UUID(sent.row_id),
                    election=election.id,
                    tag=tag,
                    ciphertext_hash=c,
                    ballot_snapshot=json.loads(sent.snapshot),
                    receipt_hash=sent.receipt_hash,
                    status="accepted",
                    receipt=answer,
                    receipt_key_id=signer.verifier.key_id.hex(),
                )
                .on_conflict_do_nothing()
            )
        return answer

    @activity.defn(name=t.MARK)
    def mark(self, token: t.TextbookToken) -> bool:
        with self._engine.begin() as connection:
            connection.execute(
                update(VoteToken)
                .where(
                    VoteToken.token == uuid.UUID(token.token_id),
                    VoteToken.election == token.election,
                    VoteToken.revoked_at.is_(None),
                )
                .values(used=True)
            )
        return True

    @activity.defn(name=t.AUDIT)
    def audit(self, event: t.TextbookEvent) -> bool:
        with self._engine.begin() as connection:
            accepted = audit.Event("vote_accepted", event.receipt_hash)
            audit.append(connection, event.election, [accepted])
        return True
