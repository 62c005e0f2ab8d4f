"""The transaction that decides: ballots stored, tokens used, events written, once.

Exactly-once rests on row locks and unique indexes, never on a step running only
once. A recorded vote is recognised by its receipt hash before anything else is
asked, so a repeated step, a repeated group and a repeated request all see it.

An election that is finished meanwhile makes the database refuse the insert as a
serialization failure; the step is done again, and finds that it is too late.

Order matters. Tokens are locked in the order of their ids and votes inserted in the
order of their tags; groups that share votes in another order deadlock.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from votepyramid.audit import service as audit
from votepyramid.db import GROUPS_CHANNEL, isolating, retrying
from votepyramid.elections.service import OVER, ElectionView
from votepyramid.errors import Code
from votepyramid.keys.service import ElectionKeys
from votepyramid.tokens.models import VoteToken
from votepyramid.votes import holding, refusing
from votepyramid.votes.group import Group, Vote, prepare
from votepyramid.votes.models import VoteSubmission
from votepyramid.votes.service import stored_receipts
from workflows.messages import (
    ISOLATED,
    VoteOutcome,
    VoteToRecord,
    goes_on_alone,
)

# Made once: putting statements together for each group costs more than running them.
_LOCK_TOKENS = (
    select(VoteToken.token, VoteToken.used, VoteToken.revoked_at)
    .where(
        VoteToken.token.in_(bindparam("tokens", expanding=True)),
        VoteToken.election == bindparam("election"),
    )
    .order_by(VoteToken.token)
    .with_for_update()
)
_INSERT = (
    insert(VoteSubmission)
    .on_conflict_do_nothing()
    .returning(VoteSubmission.receipt_hash)
)
_USE_TOKENS = (
    update(VoteToken)
    .where(VoteToken.token.in_(bindparam("tokens", expanding=True)))
    .values(used=True)
)
_NOTIFY = select(func.pg_notify(GROUPS_CHANNEL, bindparam("group")))


def record(
    engine: Engine,
    keys: ElectionKeys,
    election: ElectionView,
    group_id: str,
    sent: Sequence[VoteToRecord],
) -> list[VoteOutcome]:
    """Decide every vote of a group in one transaction; outcomes in the order sent.

    A vote that the database refuses by itself is left out and marked ISOLATED. When
    all of several are, or one that already goes on alone, the error is raised: then
    it is the part that is unwell, or failing is what keeps the vote retried.
    """
    group = prepare(keys, election, group_id, sent)

    def attempt() -> list[VoteOutcome]:
        with engine.begin() as connection:
            return _decide(connection, group.fresh())

    return retrying(attempt)


def _decide(connection: Connection, group: Group) -> list[VoteOutcome]:
    tokens = _lock_tokens(connection, group)
    known = stored_receipts(connection, [v.sent.receipt_hash for v in group.votes])
    over = group.election.status in OVER
    for vote in group.votes:
        if vote.sent.receipt_hash in known:
            vote.done = _already_recorded(vote)
        elif over:
            # Whoever was promised an answer has it: `election finish` waits for them.
            vote.code = Code.ELECTION_CLOSED
        elif vote.code != ISOLATED:
            vote.code = tokens.get(vote.token, Code.TOKEN_UNKNOWN) or vote.code
    open_votes = [vote for vote in group.votes if vote.done is None]
    sound = [vote for vote in open_votes if vote.code != ISOLATED]
    sound.sort(key=lambda vote: vote.tag)
    alone = goes_on_alone("vote", group.group_id)
    isolating(connection, sound, partial(_apply, connection, group), alone=alone)
    _leave_alone(connection, group, [vote for vote in open_votes if vote.done is None])
    connection.execute(_NOTIFY, {"group": group.group_id})
    return [vote.done for vote in group.votes if vote.done is not None]


def _leave_alone(connection: Connection, group: Group, votes: list[Vote]) -> None:
    """Votes that go on in a workflow of their own once this has committed."""
    hashes = [vote.sent.receipt_hash for vote in votes]
    holding.hand_over(connection, group.election.id, hashes, group.group_id)
    for vote in votes:
        vote.done = VoteOutcome(vote.sent.receipt_hash, ISOLATED)


def _lock_tokens(connection: Connection, group: Group) -> dict[uuid.UUID, Code | None]:
    """Lock the group's tokens in the order of their ids; id → why it cannot vote."""
    tokens = [vote.token for vote in group.votes]
    rows = connection.execute(
        _LOCK_TOKENS, {"tokens": tokens, "election": group.election.id}
    )
    return {row.token: _unusable(row) for row in rows}


def _unusable(token: Row[Any]) -> Code | None:
    if token.revoked_at is not None:
        return Code.TOKEN_REVOKED
    return Code.TOKEN_USED if token.used else None


def _apply(connection: Connection, group: Group, batch: list[Vote]) -> None:
    """Insert the winners, use their tokens, audit; then deal with the others.

    Sets `done` only at the end: a batch that fails is applied again in halves.
    """
    election, group_id = group.election.id, group.group_id
    candidates = [vote for vote in batch if vote.code is None]
    won = _insert(connection, group, candidates)
    winners = [vote for vote in candidates if vote.sent.receipt_hash in won]
    losers = [vote for vote in batch if vote.sent.receipt_hash not in won]
    if winners:
        connection.execute(_USE_TOKENS, {"tokens": [vote.token for vote in winners]})
    hashes = [vote.sent.receipt_hash for vote in winners]
    holding.recorded(connection, election, hashes, group_id)
    events = [audit.Event("vote_accepted", receipt_hash) for receipt_hash in hashes]
    audit.append(connection, election, events)
    refused = refusing.refuse(connection, group, losers)
    for vote in winners:
        vote.done = _accepted(vote)
    for one in refused:
        one.vote.done = _refused(one)


def _insert(connection: Connection, group: Group, votes: list[Vote]) -> set[str]:
    """Insert in the order of the tags; the receipt hashes of the rows that won."""
    if not votes:
        return set()
    rows = connection.execute(_INSERT, [_row(group, vote) for vote in votes])
    return {row.receipt_hash for row in rows}


def _row(group: Group, vote: Vote) -> dict[str, Any]:
    sent = vote.sent
    if sent.row_id is None or sent.snapshot is None:
        raise ValueError("a vote to store needs its envelope")
    return {
        "id": uuid.UUID(sent.row_id),
        "election": group.election.id,
        "tag": vote.tag,
        "ciphertext_hash": vote.c,
        "ballot_snapshot": json.loads(sent.snapshot),
        "receipt_hash": sent.receipt_hash,
        "status": "accepted",
        "code": None,
        "receipt": vote.receipt,
        "receipt_key_id": group.key_id,
    }


def _already_recorded(vote: Vote) -> VoteOutcome:
    return VoteOutcome(
        vote.sent.receipt_hash,
        eligibility="judged before",
        encryption="stored before",
        storage="stored before",
        token="used before",
        audit="written before",
    )


def _accepted(vote: Vote) -> VoteOutcome:
    return VoteOutcome(
        vote.sent.receipt_hash,
        eligibility="eligible",
        encryption="enveloped",
        storage="stored",
        token="used",
        audit="written",
    )


def _refused(refusal: refusing.Refusal) -> VoteOutcome:
    sent = refusal.vote.sent
    return VoteOutcome(
        sent.receipt_hash,
        code=str(refusal.code),
        reason=sent.reason,
        eligibility="refused" if sent.code is not None else "eligible",
        encryption="not needed" if sent.snapshot is None else "enveloped",
        storage="not stored",
        token="unchanged",
        audit="written" if refusal.audited else "not needed or counted",
    )
