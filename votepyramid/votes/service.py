"""Votes before and after their workflow: the one indexed read, checks, status.

`votes/recording.py` holds the transaction that decides, `votes/holding.py` which
workflow a vote is in until then.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    Column,
    Connection,
    Row,
    Text,
    Uuid,
    any_,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from votepyramid.elections import service as elections
from votepyramid.elections.models import Election
from votepyramid.elections.service import ElectionView
from votepyramid.eligibility import service as eligibility
from votepyramid.errors import Code
from votepyramid.keys.service import DataKey, ElectionKeys
from votepyramid.protocol.encoding import unb64u
from votepyramid.tokens.models import VoteToken
from votepyramid.votes.ballots import CastBallot, judge
from votepyramid.votes.envelope import seal_row
from votepyramid.votes.holding import ENDED
from votepyramid.votes.models import VoteGroup, VoteSubmission, decided
from workflows.messages import (
    ISOLATED,
    EncryptedBallot,
    Verdict,
    VoteToCheck,
    VoteToEncrypt,
    goes_on_alone,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Arrival:
    """What one read says of a vote at the door.

    `receipt` is the stored answer of a vote already recorded; `arrived_at` the
    database's clock, on which alone it is judged whether the vote was in time.
    """

    receipt: str | None
    refusal: Code | None
    arrived_at: datetime


# Made once: putting a query together costs more than running it.
_ASKED = (
    func.unnest(
        bindparam("elections", type_=ARRAY(Text)),
        bindparam("tokens", type_=ARRAY(Uuid)),
        bindparam("receipt_hashes", type_=ARRAY(Text)),
    )
    .table_valued(
        Column("election", Text),
        Column("token", Uuid),
        Column("receipt_hash", Text),
        with_ordinality="place",
        name="asked",
    )
    .render_derived()
)
_TOKEN = (
    select(VoteToken.token)
    .where(VoteToken.token == _ASKED.c.token, VoteToken.election == Election.id)
    .scalar_subquery()
)
_RECEIPT = (
    select(VoteSubmission.receipt)
    .where(
        VoteSubmission.receipt_hash == _ASKED.c.receipt_hash,
        VoteSubmission.status == "accepted",
    )
    .scalar_subquery()
)
_ARRIVALS = (
    select(
        *elections.STANDING,
        _TOKEN.label("token"),
        _RECEIPT.label("receipt"),
    )
    .select_from(_ASKED)
    .outerjoin(Election, Election.id == _ASKED.c.election)
    .order_by(_ASKED.c.place)
)
_RECORDED = (
    VoteSubmission.receipt_hash == any_(bindparam("receipt_hashes", type_=ARRAY(Text))),
    VoteSubmission.status == "accepted",
)
_STORED = select(VoteSubmission.receipt_hash, VoteSubmission.receipt).where(*_RECORDED)
_PROMISED = select(
    VoteSubmission.receipt_hash,
    VoteSubmission.election,
    VoteSubmission.tag,
    VoteSubmission.ciphertext_hash,
    VoteSubmission.receipt,
).where(*_RECORDED)
_TOKENS = select(
    VoteToken.token,
    VoteToken.user,
    VoteToken.style,
    VoteToken.roster_version,
    VoteToken.policy_hash,
    VoteToken.revoked_at,
).where(
    VoteToken.token.in_(bindparam("tokens", expanding=True)),
    VoteToken.election == bindparam("election"),
)


def arrive(connection: Connection, ballots: Sequence[CastBallot]) -> list[Arrival]:
    """The one indexed read before any workflow.

    A recorded vote is answered first, also after close; then an unknown token and
    a closed election are refused without leaving a trace that could be flooded.
    """
    rows = connection.execute(
        _ARRIVALS,
        {
            "elections": [ballot.election for ballot in ballots],
            "tokens": [ballot.token_id for ballot in ballots],
            "receipt_hashes": [ballot.receipt_hash for ballot in ballots],
        },
    )
    return [_arrival(row) for row in rows]


def _arrival(row: Row[Any]) -> Arrival:
    if row.status is None:
        return Arrival(None, Code.ELECTION_UNKNOWN, row.clock)
    if row.token is None:
        return Arrival(row.receipt, Code.TOKEN_UNKNOWN, row.clock)
    return Arrival(row.receipt, elections.cast_window(row, row.clock), row.clock)


@dataclass(frozen=True)
class Status:
    """What became of a vote. `receipt` when accepted, `code` when refused."""

    receipt: str | None = None
    code: str | None = None
    pending: bool = False


def status(connection: Connection, election: str, receipt_hash: str) -> Status | None:
    """From Postgres alone; None when nothing is known of this receipt hash."""
    rows = connection.execute(
        select(VoteSubmission.receipt, VoteSubmission.code).where(
            decided([receipt_hash]), VoteSubmission.election == election
        )
    ).all()
    receipt = next((row.receipt for row in rows if row.receipt is not None), None)
    if receipt is not None:
        return Status(receipt=receipt)
    outcome = connection.execute(
        select(VoteGroup.outcome).where(
            VoteGroup.receipt_hash == receipt_hash, VoteGroup.election == election
        )
    ).first()
    if outcome is not None and outcome[0] is None:
        # Also after a refusal: the same bytes were sent again and are under way.
        return Status(pending=True)
    if rows:
        return Status(code=rows[0].code)
    if outcome is None or outcome[0] == ENDED:
        return None
    return Status(code=outcome[0])


def stored_receipts(
    connection: Connection, receipt_hashes: Sequence[str]
) -> dict[str, str]:
    """The answers of those votes that are recorded, by receipt hash."""
    rows = connection.execute(_STORED, {"receipt_hashes": [*receipt_hashes]})
    return {row.receipt_hash: row.receipt for row in rows}


class Promised(NamedTuple):
    """What a recorded vote's row says of it, beside the answer to its voter."""

    election: str
    tag: bytes
    ciphertext_hash: bytes
    receipt: str


def promised(
    connection: Connection, receipt_hashes: Sequence[str]
) -> dict[str, Promised]:
    """Those votes that are recorded, without their ballots, by receipt hash."""
    rows = connection.execute(_PROMISED, {"receipt_hashes": [*receipt_hashes]})
    return {row[0]: Promised(*row[1:]) for row in rows}


def check(
    connection: Connection,
    election: ElectionView,
    group_id: str,
    votes: Sequence[VoteToCheck],
) -> list[Verdict]:
    """Judge each vote by its token, its declared fields and the current roster.

    A vote that cannot be judged is marked ISOLATED; where it goes on alone, its
    error is raised, so that it is retried and seen.

    Whether the token is used is not asked here: this step may run again after the
    votes were recorded, and must say the same.
    """
    ids = [uuid.UUID(vote.token_id) for vote in votes]
    rows = connection.execute(_TOKENS, {"tokens": ids, "election": election.id})
    tokens = {str(row.token): row for row in rows}
    barred = _no_longer_eligible(connection, election, list(tokens.values()))
    return [
        _isolating(
            group_id,
            partial(_verdict, election, vote, tokens, barred),
            Verdict(vote.receipt_hash, ISOLATED),
        )
        for vote in votes
    ]


def _isolating(group_id: str, step: Callable[[], T], isolated: T) -> T:
    """A step for one vote; `isolated` when only that vote's data can be at fault."""
    try:
        return step()
    except (LookupError, TypeError, ValueError):
        if goes_on_alone("vote", group_id):
            raise
        return isolated


def _no_longer_eligible(
    connection: Connection, election: ElectionView, tokens: Sequence[Row[Any]]
) -> dict[str, str]:
    """Reasons by token id, for tokens that rest on an older roster or policy."""
    if election.manifest["eligibility"]["late_changes"] != "recheck":
        return {}
    now = (election.roster_version, election.policy_hash)
    stale = [t for t in tokens if (t.roster_version, t.policy_hash) != now]
    if not stale:
        return {}
    found = eligibility.assess(
        connection,
        election,
        [token.user for token in stale],
        [token.style for token in stale],
        "cast",
    )
    return {
        str(token.token): assessment.reason or "not_eligible"
        for token, assessment in zip(stale, found, strict=True)
        if not assessment.allowed
    }


def _verdict(
    election: ElectionView,
    vote: VoteToCheck,
    tokens: Mapping[str, Row[Any]],
    barred: dict[str, str],
) -> Verdict:
    token = tokens.get(vote.token_id)
    if token is None:
        return Verdict(vote.receipt_hash, Code.TOKEN_UNKNOWN)
    if token.revoked_at is not None:
        return Verdict(vote.receipt_hash, Code.TOKEN_REVOKED)
    if vote.token_id in barred:
        reason = barred[vote.token_id]
        return Verdict(vote.receipt_hash, Code.VOTER_NOT_ELIGIBLE, reason)
    arrived = datetime.fromisoformat(vote.arrived_at)
    code = elections.cast_window(election, arrived) or judge(
        election.manifest,
        election.manifest_hash,
        token.style,
        style=vote.style,
        suite=vote.suite,
        key_id=vote.key_id,
        manifest_hash=vote.manifest_hash,
        payload_bytes=vote.payload_bytes,
    )
    return Verdict(vote.receipt_hash, code)


def encrypt(
    keys: ElectionKeys, election: str, group_id: str, votes: Sequence[VoteToEncrypt]
) -> list[EncryptedBallot]:
    """Put each sealed ballot into the KMS envelope under a fresh random row id.

    A ballot that cannot be enveloped by itself is marked by a null snapshot, or its
    error raised where it goes on alone; KeyProviderError and KeyMissing, which
    concern all, are raised.
    """
    data_key = keys.data_key(election, len(votes))
    return [
        _isolating(
            group_id,
            partial(_encrypt_one, data_key, election, vote),
            EncryptedBallot(vote.receipt_hash, "", None),
        )
        for vote in votes
    ]


def _encrypt_one(
    data_key: DataKey, election: str, vote: VoteToEncrypt
) -> EncryptedBallot:
    row_id = uuid.uuid4()
    leaf_hash = bytes.fromhex(vote.receipt_hash)
    ballot = unb64u(vote.payload)
    envelope = seal_row(data_key, election, row_id, leaf_hash, ballot)
    snapshot = {
        "manifest": vote.manifest_hash,
        "style": vote.style,
        "suite": vote.suite,
        "key_id": vote.key_id,
        "envelope": envelope,
    }
    return EncryptedBallot(vote.receipt_hash, str(row_id), json.dumps(snapshot))
