"""The transaction that decides: ballots stored, tokens used, events written, once.

Exactly-once rests on row locks and unique indexes, never on a step running only
once. A recorded vote is recognised by its receipt hash before anything else is
asked, so a repeated step, a repeated group and a repeated request all see it.

Order matters. Tokens are locked in the order of their ids and votes inserted in the
order of their tags; groups that share votes in another order deadlock. Receipts are
signed before the locks are taken: a signature for a vote that then loses never
leaves this process, and Ed25519 signs the same bytes alike.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from votepyramid.audit import service as audit
from votepyramid.db import GROUPS_CHANNEL, isolating, retrying
from votepyramid.elections.service import ElectionView
from votepyramid.errors import Code
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol.encoding import unb64u
from votepyramid.protocol.leaf import leaf_bytes
from votepyramid.protocol.receipt import answer_bytes, sign_receipt
from votepyramid.tokens.models import VoteToken
from votepyramid.votes.models import VoteGroup, VoteSubmission
from votepyramid.votes.service import stored_receipts
from workflows.messages import (
    ISOLATED,
    VoteOutcome,
    VoteToRecord,
    goes_on_alone,
)

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
_NOTED = insert(VoteGroup)
_NOTE_GROUPS = _NOTED.on_conflict_do_update(
    index_elements=["receipt_hash"],
    set_={"group_id": _NOTED.excluded.group_id, "outcome": None},
)
_NOTIFY = select(func.pg_notify(GROUPS_CHANNEL, bindparam("group")))


@dataclass
class _Vote:
    """One vote on its way through the transaction."""

    sent: VoteToRecord
    token: uuid.UUID
    tag: bytes
    c: bytes
    receipt: str = ""
    code: str | None = None
    done: VoteOutcome | None = None


@dataclass
class _Group:
    election: ElectionView
    group_id: str
    key_id: str
    votes: list[_Vote] = field(default_factory=list)


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
    group = _prepare(keys, election, group_id, sent)

    def attempt() -> list[VoteOutcome]:
        with engine.begin() as connection:
            return _decide(
                connection, replace(group, votes=[*map(replace, group.votes)])
            )

    return retrying(attempt)


def _prepare(
    keys: ElectionKeys,
    election: ElectionView,
    group_id: str,
    sent: Sequence[VoteToRecord],
) -> _Group:
    signer = keys.ballot_box(election.id)
    origin = election.manifest["receipts"]["origin"]
    group = _Group(election, group_id, signer.verifier.key_id.hex())
    for one in sent:
        vote = _Vote(
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


def _decide(connection: Connection, group: _Group) -> list[VoteOutcome]:
    tokens = _lock_tokens(connection, group)
    known = stored_receipts(connection, [v.sent.receipt_hash for v in group.votes])
    for vote in group.votes:
        if vote.sent.receipt_hash in known:
            vote.done = _already_recorded(vote)
        elif vote.code != ISOLATED:
            vote.code = tokens.get(vote.token, Code.TOKEN_UNKNOWN) or vote.code
    open_votes = [vote for vote in group.votes if vote.done is None]
    sound = [vote for vote in open_votes if vote.code != ISOLATED]
    sound.sort(key=lambda vote: vote.tag)
    alone = goes_on_alone("vote", group.group_id)
    isolating(connection, sound, partial(_apply, connection, group), alone=alone)
    for vote in open_votes:
        if vote.done is None:
            vote.done = VoteOutcome(vote.sent.receipt_hash, ISOLATED)
    connection.execute(_NOTIFY, {"group": group.group_id})
    return [vote.done for vote in group.votes if vote.done is not None]


def _lock_tokens(connection: Connection, group: _Group) -> dict[uuid.UUID, Code | None]:
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


def _apply(connection: Connection, group: _Group, batch: list[_Vote]) -> None:
    """Insert the winners, use their tokens, audit; then deal with the others.

    Sets `done` only at the end: a batch that fails is applied again in halves.
    """
    candidates = [vote for vote in batch if vote.code is None]
    won = _insert(connection, group, candidates)
    lost = _why_lost(
        connection, group, [v for v in candidates if v.sent.receipt_hash not in won]
    )
    winners = [vote for vote in candidates if vote.sent.receipt_hash in won]
    if winners:
        connection.execute(_USE_TOKENS, {"tokens": [vote.token for vote in winners]})
    _note_groups(connection, group, winners)
    codes = {v.sent.receipt_hash: v.code for v in batch if v.code is not None} | lost
    refused = [(v, codes[h]) for v in batch if (h := v.sent.receipt_hash) in codes]
    events = [audit.Event("vote_accepted", v.sent.receipt_hash) for v in winners]
    events += _reused(connection, group, refused)
    events += _rejected(connection, group, refused)
    audit.append(connection, group.election.id, events)
    audited = {event.subject for event in events if event.kind == "vote_refused"}
    _settle(connection, refused)
    for vote in winners:
        vote.done = _accepted(vote)
    for vote, code in refused:
        vote.done = _refused(vote, code, vote.sent.receipt_hash in audited)


def _insert(connection: Connection, group: _Group, votes: list[_Vote]) -> set[str]:
    """Insert in the order of the tags; the receipt hashes of the rows that won."""
    if not votes:
        return set()
    rows = connection.execute(_INSERT, [_row(group, vote) for vote in votes])
    return {row.receipt_hash for row in rows}


def _row(group: _Group, vote: _Vote) -> dict[str, Any]:
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


def _why_lost(
    connection: Connection, group: _Group, votes: list[_Vote]
) -> dict[str, str]:
    """A conflict on the tag is another ballot of the same token, else a copy."""
    standing = _standing(connection, group, votes)
    return {
        vote.sent.receipt_hash: (
            Code.TOKEN_USED if vote.tag in standing else Code.BALLOT_COPIED
        )
        for vote in votes
    }


def _standing(
    connection: Connection, group: _Group, votes: list[_Vote]
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
    connection: Connection, group: _Group, refused: list[tuple[_Vote, str]]
) -> list[audit.Event]:
    """Count reuse on the token; an event, naming the vote that stands, for the first.

    A step that runs again may count once more; it cannot write a second event. A
    ballot declared for another manifest has another tag, which leads to no vote: it
    is refused alike and not counted.
    """
    again = [vote for vote, code in refused if code == Code.TOKEN_USED]
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
    connection: Connection, group: _Group, refused: list[tuple[_Vote, str]]
) -> list[audit.Event]:
    """Rows and events for refused ballots of valid, unused tokens, up to a bound."""
    bound = group.election.manifest["rate"]["rejected_ballots_per_token"]
    events: list[audit.Event] = []
    for vote, code in refused:
        if code not in ROW_CODES:
            continue
        counted = connection.scalar(
            select(VoteToken.rejected_count).where(VoteToken.token == vote.token)
        )
        if counted is None or counted >= bound:
            continue
        inserted = connection.execute(
            insert(VoteSubmission)
            .values(
                id=uuid.uuid4(),
                election=group.election.id,
                tag=vote.tag,
                ciphertext_hash=vote.c,
                receipt_hash=vote.sent.receipt_hash,
                status="rejected",
                code=code,
            )
            .on_conflict_do_nothing()
            .returning(VoteSubmission.id)
        ).first()
        if inserted is None:
            continue
        connection.execute(
            update(VoteToken)
            .where(VoteToken.token == vote.token)
            .values(rejected_count=VoteToken.rejected_count + 1)
        )
        detail = {"code": str(code)}
        events.append(audit.Event("vote_refused", vote.sent.receipt_hash, detail))
    return events


def _note_groups(connection: Connection, group: _Group, votes: list[_Vote]) -> None:
    """Write which workflow recorded these votes, apart from their rows."""
    if not votes:
        return
    connection.execute(
        _NOTE_GROUPS,
        [
            {
                "receipt_hash": vote.sent.receipt_hash,
                "election": group.election.id,
                "group_id": group.group_id,
            }
            for vote in votes
        ],
    )


def _settle(connection: Connection, refused: list[tuple[_Vote, str]]) -> None:
    """Tell the status of refused votes whose voters were answered with 202."""
    for code in {code for _, code in refused}:
        hashes = [v.sent.receipt_hash for v, c in refused if c == code]
        connection.execute(
            update(VoteGroup)
            .where(VoteGroup.receipt_hash.in_(hashes))
            .values(outcome=code)
        )


def _already_recorded(vote: _Vote) -> VoteOutcome:
    return VoteOutcome(
        vote.sent.receipt_hash,
        eligibility="judged before",
        encryption="stored before",
        storage="stored before",
        token="used before",
        audit="written before",
    )


def _accepted(vote: _Vote) -> VoteOutcome:
    return VoteOutcome(
        vote.sent.receipt_hash,
        eligibility="eligible",
        encryption="enveloped",
        storage="stored",
        token="used",
        audit="written",
    )


def _refused(vote: _Vote, code: str, audited: bool) -> VoteOutcome:
    judged = "refused" if vote.sent.code is not None else "eligible"
    return VoteOutcome(
        vote.sent.receipt_hash,
        code=str(code),
        reason=vote.sent.reason,
        eligibility=judged,
        encryption="not needed" if vote.sent.snapshot is None else "enveloped",
        storage="not stored",
        token="unchanged",
        audit="written" if audited else "not needed or counted",
    )
