"""Tokens: the one read at the door, the derivation, and the issuing transaction.

A bearer b is never stored or carried: it is derived from the issuance key, the
voter's id and a counter, so a repeated claim gives the same one. The database keeps
its id d, one live row a voter, by a partial unique index.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, Engine, and_, func, select
from sqlalchemy.dialects.postgresql import insert

from votepyramid.audit import service as audit
from votepyramid.db import GROUPS_CHANNEL, isolating, retrying
from votepyramid.elections import service as elections
from votepyramid.elections.models import Election
from votepyramid.elections.service import ElectionView
from votepyramid.eligibility import service as eligibility
from votepyramid.eligibility.models import ClaimRefusal, Voter
from votepyramid.errors import Code
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol import identifiers
from votepyramid.protocol.encoding import b64u, lp, unb64u
from votepyramid.tokens.models import VoteToken
from workflows.messages import (
    ISOLATED,
    Claim,
    ClaimOutcome,
    ClaimVerdict,
    goes_on_alone,
)

PSEUDONYM = b"evote/voter-pseudonym/v1"


@dataclass(frozen=True)
class IssuedToken:
    """A live token as the claim pool sees it, enough to derive the bearer again."""

    counter: int
    style: str


@dataclass(frozen=True)
class ClaimArrival:
    """What one read says of a claim: the voter's ref, a token already issued."""

    voter: uuid.UUID | None
    issued: IssuedToken | None
    refusal: Code | None
    arrived_at: datetime


def arrive(connection: Connection, election: str, voter_id: str) -> ClaimArrival:
    """The one indexed read before any workflow.

    A token already issued is given again as long as it can be cast, through the
    grace time; a new one is issued only until the election ends.
    """
    row = connection.execute(
        select(
            *elections.STANDING,
            Voter.ref,
            VoteToken.counter,
            VoteToken.style,
        )
        .select_from(Election)
        .outerjoin(
            Voter, and_(Voter.election == Election.id, Voter.voter_id == voter_id)
        )
        .outerjoin(
            VoteToken,
            and_(
                VoteToken.election == Election.id,
                VoteToken.user == Voter.ref,
                VoteToken.revoked_at.is_(None),
            ),
        )
        .where(Election.id == election)
    ).one()
    issued = None if row.counter is None else IssuedToken(row.counter, row.style)
    window = elections.cast_window if issued else elections.claim_window
    return ClaimArrival(row.ref, issued, window(row, row.clock), row.clock)


def bearer(
    keys: ElectionKeys, election: str, m: bytes, voter_id: str, counter: int
) -> uuid.UUID:
    """Derive b. Raises KeyMissing once the issuance key is destroyed."""
    return identifiers.bearer(keys.issuance(election), election, m, voter_id, counter)


def pseudonym(keys: ElectionKeys, election: str, voter_id: str) -> bytes:
    """The keyed name under which the audit log knows a claimant, 32 bytes.

    HMAC-SHA-256 under the issuance key: without it nobody can test a guess, and it
    is destroyed when the election is unlinked.
    """
    message = lp(PSEUDONYM) + lp(election.encode()) + lp(voter_id.encode())
    return hmac.digest(keys.issuance(election), message, hashlib.sha256)


def issued_tokens(
    connection: Connection, election: str, voters: Collection[uuid.UUID]
) -> dict[uuid.UUID, IssuedToken]:
    """Live tokens by the voter's ref."""
    rows = connection.execute(
        select(VoteToken.user, VoteToken.counter, VoteToken.style).where(
            VoteToken.election == election,
            VoteToken.user.in_(voters),
            VoteToken.revoked_at.is_(None),
        )
    )
    return {row.user: IssuedToken(row.counter, row.style) for row in rows}


def check_claims(
    connection: Connection, election: ElectionView, claims: Sequence[Claim]
) -> list[ClaimVerdict]:
    """Judge each claim under the election's policy, as of its arrival."""
    found = eligibility.assess(
        connection,
        election,
        [uuid.UUID(claim.voter) if claim.voter else None for claim in claims],
        [claim.style for claim in claims],
        "claim",
        [datetime.fromisoformat(claim.arrived_at) for claim in claims],
    )
    return [
        ClaimVerdict(claim.key, result.reason, result.style, result.roster_version)
        for claim, result in zip(claims, found, strict=True)
    ]


def issue(
    engine: Engine,
    keys: ElectionKeys,
    election: ElectionView,
    group_id: str,
    claims: Sequence[Claim],
    verdicts: Sequence[ClaimVerdict],
) -> list[ClaimOutcome]:
    """Issue, refuse and audit a group of claims in one transaction.

    A claim that the database refuses by itself is marked ISOLATED; when all of
    several are, or one that already goes on alone, the error is raised.
    """
    by_key = {verdict.key: verdict for verdict in verdicts}
    # Held before the transaction: a key not held takes a connection of its own, and
    # transactions that wait for one would wait for each other.
    keys.issuance(election.id)
    # In the order of the voters: groups that share voters must not deadlock.
    ordered = sorted(claims, key=lambda claim: (claim.voter or "", claim.key))

    def attempt() -> dict[str, ClaimOutcome]:
        with engine.begin() as connection:
            issuer = _Issuer(connection, keys, election, by_key, group_id)
            issuer.run(ordered)
            connection.execute(select(func.pg_notify(GROUPS_CHANNEL, group_id)))
            return issuer.outcomes

    outcomes = retrying(attempt)
    return [outcomes[claim.key] for claim in claims]


@dataclass
class _Issuer:
    """One issuing transaction."""

    connection: Connection
    keys: ElectionKeys
    election: ElectionView
    verdicts: dict[str, ClaimVerdict]
    group_id: str
    outcomes: dict[str, ClaimOutcome] = field(default_factory=dict)

    def run(self, claims: list[Claim]) -> None:
        alone = goes_on_alone("claim", self.group_id)
        for claim in isolating(self.connection, claims, self._apply, alone=alone):
            self.outcomes[claim.key] = ClaimOutcome(claim.key, ISOLATED)

    def _apply(self, batch: list[Claim]) -> None:
        granted = [claim for claim in batch if self._eligible(claim)]
        # The database would refuse it; who has a token gets it again.
        fresh = set() if self._over else self._insert(_one_each(granted))
        outcomes = self._granted(granted, fresh)
        refused = [claim for claim in batch if claim.key not in outcomes]
        no = self._too_late if self._over else self._refuse
        self.outcomes |= outcomes | no(refused)

    @property
    def _over(self) -> bool:
        return self.election.status in elections.OVER

    def _eligible(self, claim: Claim) -> bool:
        return claim.voter is not None and self.verdicts[claim.key].reason is None

    def _insert(self, claims: list[Claim]) -> set[uuid.UUID]:
        """Insert tokens for voters who never had one; the refs of the fresh ones.

        A voter whose token was revoked gets no other here: asking again must not undo
        that. A new counter is for a re-issue, which is not built.
        """
        refs = [uuid.UUID(claim.voter) for claim in claims if claim.voter]
        had = set(
            self.connection.scalars(
                select(VoteToken.user).where(
                    VoteToken.election == self.election.id, VoteToken.user.in_(refs)
                )
            )
        )
        names = {
            row.ref: row.voter_id
            for row in self.connection.execute(
                select(Voter.ref, Voter.voter_id).where(
                    Voter.ref.in_(refs), Voter.election == self.election.id
                )
            )
        }
        rows = [
            self._row(claim, names[ref])
            for claim, ref in zip(claims, refs, strict=True)
            if ref not in had
        ]
        if not rows:
            return set()
        inserted = self.connection.execute(
            insert(VoteToken).on_conflict_do_nothing().returning(VoteToken.user), rows
        )
        return {row.user for row in inserted}

    def _row(self, claim: Claim, voter_id: str) -> dict[str, object]:
        e, m = self.election.id, self.election.manifest_hash
        b = bearer(self.keys, e, m, voter_id, 0)
        verdict = self.verdicts[claim.key]
        return {
            "token": identifiers.token_id(e, m, b),
            "user": uuid.UUID(claim.voter),
            "election": e,
            "style": verdict.style,
            "counter": 0,
            "policy_hash": self.election.policy_hash,
            "roster_version": verdict.roster_version,
        }

    def _granted(
        self, claims: list[Claim], fresh: set[uuid.UUID]
    ) -> dict[str, ClaimOutcome]:
        """Outcomes of those who have a live token by now."""
        refs = [uuid.UUID(claim.voter) for claim in claims if claim.voter]
        live = issued_tokens(self.connection, self.election.id, refs)
        outcomes = {}
        for claim, ref in zip(claims, refs, strict=True):
            token = live.get(ref)
            if token is None:
                continue
            new = ref in fresh
            outcomes[claim.key] = ClaimOutcome(
                claim.key,
                style=token.style,
                counter=token.counter,
                eligibility="eligible",
                issue="issued" if new else "issued before",
                audit="written" if new else "written before",
            )
        audit.append(
            self.connection,
            self.election.id,
            [
                audit.Event("token_issued", claim.pseudonym)
                for claim in _one_each(claims)
                if uuid.UUID(claim.voter) in fresh
            ],
        )
        return outcomes

    def _too_late(self, claims: list[Claim]) -> dict[str, ClaimOutcome]:
        """The election is finished, however early they arrived. Leaves no trace."""
        return {
            claim.key: ClaimOutcome(
                claim.key,
                Code.ELECTION_CLOSED,
                issue="not issued",
                audit="not needed",
            )
            for claim in claims
        }

    def _refuse(self, claims: list[Claim]) -> dict[str, ClaimOutcome]:
        """Audit a refusal the first time, count it after.

        Who is eligible and has no live token had one that was revoked.
        """
        outcomes, events = {}, []
        for claim in claims:
            eligible = self._eligible(claim)
            reason = self.verdicts[claim.key].reason or eligibility.NOT_ON_ROSTER
            event = self._count(claim, Code.TOKEN_REVOKED if eligible else reason)
            events += event
            outcomes[claim.key] = ClaimOutcome(
                claim.key,
                Code.TOKEN_REVOKED if eligible else Code.NOT_ELIGIBLE,
                None if eligible else reason,
                eligibility="eligible" if eligible else "refused",
                issue="not issued",
                audit="written" if event else "counted",
            )
        audit.append(self.connection, self.election.id, events)
        return outcomes

    def _count(self, claim: Claim, reason: str) -> list[audit.Event]:
        """Count a claimant's refusal; the event of the first one."""
        statement = insert(ClaimRefusal).values(
            election=self.election.id,
            pseudonym=unb64u(claim.pseudonym),
            reason=reason,
        )
        count = self.connection.scalar(
            statement.on_conflict_do_update(
                index_elements=["election", "pseudonym", "reason"],
                set_={"count": ClaimRefusal.count + 1},
            ).returning(ClaimRefusal.count)
        )
        if count != 1:
            return []
        return [audit.Event("claim_refused", claim.pseudonym, {"reason": reason})]


def _one_each(claims: list[Claim]) -> list[Claim]:
    """One claim a voter: the same voter may ask for two styles at once."""
    return list({claim.voter: claim for claim in reversed(claims)}.values())[::-1]


def claim_key(voter: uuid.UUID | None, name: bytes, style: str | None) -> str:
    """What makes two claims the same: the claimant, by ref or keyed pseudonym, and
    the style asked for, which may be refused where another is not."""
    who = str(voter) if voter else f"p.{b64u(name)}"
    return f"{who}/{style}" if style else who
