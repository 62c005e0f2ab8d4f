"""Why a vote is refused in the deciding transaction, and what is written of it.

A refusal under a token of the election leaves an audit event, but a bounded number a
token: one for other ballots under a used token, for all else as many as the manifest
says. So no flood can grow the log.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from votepyramid.audit import service as audit
from votepyramid.errors import Code
from votepyramid.tokens.models import VoteToken
from votepyramid.votes import holding
from votepyramid.votes.group import Group, Vote
from votepyramid.votes.models import VoteSubmission

# Refusals of a ballot under a valid, unused token: the only ones that leave a row.
ROW_CODES = frozenset(
    {
        Code.MANIFEST_MISMATCH,
        Code.STYLE_MISMATCH,
        Code.SUITE_MISMATCH,
        Code.KEY_MISMATCH,
        Code.BALLOT_LENGTH,
        Code.BALLOT_COPIED,
        Code.VOTER_NOT_ELIGIBLE,
    }
)
# These leave an event within the same bound.
EVENT_CODES = ROW_CODES | {Code.TOKEN_REVOKED}


@dataclass
class Refusal:
    """`audited` when an event names this very ballot."""

    vote: Vote
    code: str
    audited: bool = False


def refuse(connection: Connection, group: Group, votes: list[Vote]) -> list[Refusal]:
    """Write what a refusal leaves behind, for votes that were not inserted."""
    why = _why_lost(connection, group, [vote for vote in votes if vote.code is None])
    refused = [
        Refusal(vote, vote.code or why[vote.sent.receipt_hash]) for vote in votes
    ]
    events = _reused(connection, group, refused)
    events += _rejected(connection, group, refused)
    audit.append(connection, group.election.id, events)
    for code in {one.code for one in refused}:
        hashes = [one.vote.sent.receipt_hash for one in refused if one.code == code]
        holding.refused(connection, hashes, group.group_id, code)
    return refused


def _why_lost(
    connection: Connection, group: Group, votes: list[Vote]
) -> dict[str, Code]:
    """A conflict on the tag is another ballot of the same token, else a copy."""
    standing = _standing(connection, group, votes)
    return {
        vote.sent.receipt_hash: (
            Code.TOKEN_USED if vote.tag in standing else Code.BALLOT_COPIED
        )
        for vote in votes
    }


def _standing(
    connection: Connection, group: Group, votes: list[Vote]
) -> dict[bytes, str]:
    """The recorded votes under these votes' tags: tag → receipt hash."""
    if not votes:
        return {}
    rows = connection.execute(
        select(VoteSubmission.tag, VoteSubmission.receipt_hash).where(
            VoteSubmission.election == group.election.id,
            VoteSubmission.tag.in_([vote.tag for vote in votes]),
            VoteSubmission.status == "accepted",
        )
    )
    return {row.tag: row.receipt_hash for row in rows}


def _reused(
    connection: Connection, group: Group, refused: Sequence[Refusal]
) -> list[audit.Event]:
    """Count reuse on the token; an event, naming the vote that stands, for the first.

    A step that runs again may count once more; it cannot write a second event. A
    ballot declared for another manifest has another tag, which leads to no vote: it
    is refused alike and not counted.
    """
    again = [one.vote for one in refused if one.code == Code.TOKEN_USED]
    standing = _standing(connection, group, again)
    reusers = {vote.token: vote for vote in again if vote.tag in standing}
    if not reusers:
        return []
    rows = connection.execute(
        update(VoteToken)
        .where(VoteToken.token.in_(reusers))
        .values(reuse_count=VoteToken.reuse_count + 1)
        .returning(VoteToken.token, VoteToken.reuse_count)
    )
    return [
        audit.Event("token_reused", standing[reusers[row.token].tag])
        for row in rows
        if row.reuse_count == 1
    ]


def _rejected(
    connection: Connection, group: Group, refused: Sequence[Refusal]
) -> list[audit.Event]:
    """Events, and rows for ballots of valid, unused tokens, up to a bound.

    Where there is no row, a step that runs again may write its event once more,
    within the same bound.
    """
    bound = group.election.manifest["rate"]["rejected_ballots_per_token"]
    events: list[audit.Event] = []
    for one in refused:
        if one.code not in EVENT_CODES or not _room(connection, one.vote, bound):
            continue
        if one.code in ROW_CODES and not _insert(connection, group, one):
            continue
        connection.execute(
            update(VoteToken)
            .where(VoteToken.token == one.vote.token)
            .values(rejected_count=VoteToken.rejected_count + 1)
        )
        one.audited = True
        detail = {"code": str(one.code)}
        events.append(audit.Event("vote_refused", one.vote.sent.receipt_hash, detail))
    return events


def _room(connection: Connection, vote: Vote, bound: int) -> bool:
    counted = connection.scalar(
        select(VoteToken.rejected_count).where(VoteToken.token == vote.token)
    )
    return counted is not None and counted < bound


def _insert(connection: Connection, group: Group, one: Refusal) -> bool:
    """Insert the row of a refused ballot; False when it was refused before."""
    inserted = connection.execute(
        insert(VoteSubmission)
        .values(
            id=uuid.uuid4(),
            election=group.election.id,
            tag=one.vote.tag,
            ciphertext_hash=one.vote.c,
            receipt_hash=one.vote.sent.receipt_hash,
            status="rejected",
            code=one.code,
        )
        .on_conflict_do_nothing()
        .returning(VoteSubmission.id)
    ).first()
    return inserted is not None
