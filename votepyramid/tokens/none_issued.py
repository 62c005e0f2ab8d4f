"""A signed statement to a voter that no token was issued to them.

Given once the election is finished, when none can be issued any more, and until it is
unlinked. Whoever signs in gets one, on a roster or not: it speaks of a voter id. It is
the same at every asking, and who asks a thousand times leaves one event behind.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, and_, exists, select
from sqlalchemy.dialects.postgresql import insert

from votepyramid.audit import service as audit
from votepyramid.db import reading
from votepyramid.elections.models import Election
from votepyramid.elections.service import FixedManifest
from votepyramid.eligibility.models import Voter
from votepyramid.errors import Code, Refused
from votepyramid.keys.service import STATEMENTS, ElectionKeys, KeyMissing
from votepyramid.protocol import statements
from votepyramid.protocol.encoding import b64u
from votepyramid.tokens.models import NoneIssued, VoteToken
from votepyramid.tokens.service import pseudonym

_ONCE = (
    insert(NoneIssued)
    .on_conflict_do_nothing()
    .inline()
    .execution_options(preserve_rowcount=True)
)


@dataclass(frozen=True)
class Stated:
    """The signed note, and the 32 bytes that show to whom it speaks."""

    note: str
    nonce: bytes


def state(
    engine: Engine,
    keys: ElectionKeys,
    election: str,
    fixed: FixedManifest,
    voter_id: str,
) -> Stated:
    """The statement to this voter.

    Raises Refused: ELECTION_NOT_FINISHED, TOKEN_ISSUED, ELECTION_CLOSED once the
    election is unlinked, UNAVAILABLE.
    """
    with reading(engine) as connection:
        refusal = _refusal(connection, election, voter_id)
    if refusal is not None:
        raise Refused(refusal)
    try:
        nonce = statements.none_issued_nonce(
            keys.issuance(election), election, fixed.manifest_hash, voter_id
        )
        name = pseudonym(keys, election, voter_id)
        signer = keys.signer(election, STATEMENTS)
    except KeyMissing:
        # It was unlinked a moment ago.
        raise Refused(Code.ELECTION_CLOSED) from None
    made = statements.NoneIssued(
        fixed.manifest["receipts"]["origin"],
        fixed.manifest_hash,
        statements.none_issued_commitment(
            election, fixed.manifest_hash, nonce, voter_id
        ),
    )
    with engine.begin() as connection:
        row = {"election": election, "pseudonym": name}
        if connection.execute(_ONCE, row).rowcount == 1:
            event = audit.Event("none_issued", b64u(name))
            audit.append(connection, election, [event])
    return Stated(statements.sign_none_issued(made, signer), nonce)


def _refusal(connection: Connection, election: str, voter_id: str) -> Code | None:
    issued = exists().where(
        and_(
            Voter.election == Election.id,
            Voter.voter_id == voter_id,
            # Also a revoked one.
            VoteToken.election == Election.id,
            VoteToken.user == Voter.ref,
        )
    )
    row = connection.execute(
        select(Election.status, issued.label("issued")).where(Election.id == election)
    ).one()
    if row.status == "unlinked":
        return Code.ELECTION_CLOSED
    if row.status != "finished":
        return Code.ELECTION_NOT_FINISHED
    return Code.TOKEN_ISSUED if row.issued else None
