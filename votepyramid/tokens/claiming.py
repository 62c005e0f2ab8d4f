"""Claiming: from an authenticated voter to a bearer token or a reason why not."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sqlalchemy import Engine

from votepyramid.audit.junk import JunkCounter
from votepyramid.db import reading
from votepyramid.elections.service import Manifests
from votepyramid.engine.gateway import Gateway
from votepyramid.engine.line import Isolated, Item
from votepyramid.errors import Code, Refused
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol.encoding import b64u
from votepyramid.settings import Settings
from votepyramid.tokens import service
from votepyramid.tokens.none_issued import Stated, state
from votepyramid.tokens.service import IssuedToken
from workflows import messages as m


@dataclass(frozen=True)
class ClaimAnswer:
    """A token's counter and style, or the code and reason of a refusal."""

    issued: IssuedToken | None = None
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class ClaimedToken:
    """What the voter gets: the bearer, the ballot style, m to seal for."""

    bearer: uuid.UUID
    style: str
    manifest_hash: bytes


class ClaimLine:
    """How claims travel: the gateway's Line for `claim_tokens`."""

    workflow = m.CLAIM_TOKENS
    prefix = "claims"

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self.task_queue = settings.claim_task_queue

    def message(
        self, election: str, group_id: str, items: Sequence[Item[ClaimAnswer]]
    ) -> m.ClaimTokensInput:
        claims = [item.content for item in items]
        return m.ClaimTokensInput(election=election, group_id=group_id, claims=claims)

    def read(
        self, election: str, items: Sequence[Item[ClaimAnswer]]
    ) -> dict[str, ClaimAnswer]:
        refs = {
            item.key: uuid.UUID(claim.voter)
            for item in items
            if (claim := item.content).voter is not None
        }
        with reading(self._engine) as connection:
            found = service.issued_tokens(connection, election, set(refs.values()))
        return {
            key: ClaimAnswer(issued=found[ref])
            for key, ref in refs.items()
            if ref in found
        }

    def answers(
        self, result: list[m.ClaimOutcome]
    ) -> dict[str, ClaimAnswer | Isolated | None]:
        return {outcome.key: _answer(outcome) for outcome in result}

    def result_type(self) -> Any:
        return list[m.ClaimOutcome]

    def settle(self, item: Item[ClaimAnswer], answer: ClaimAnswer) -> None:
        """Nothing to write: a voter who left claims again and gets the same."""

    def abandon(self, item: Item[ClaimAnswer]) -> None:
        """The same."""


class Claiming:
    """Issues tokens. Safe to call from many threads."""

    def __init__(
        self,
        engine: Engine,
        gateway: Gateway[ClaimAnswer],
        keys: ElectionKeys,
        junk: JunkCounter,
        manifests: Manifests,
        settings: Settings,
    ) -> None:
        self._engine = engine
        self._gateway = gateway
        self._keys = keys
        self._junk = junk
        self._timeout = settings.answer_timeout
        self._manifests = manifests

    def claim(self, election_id: str, voter_id: str, style: str | None) -> ClaimedToken:
        """The voter's token, the same at every claim.

        Raises Refused: ELECTION_UNKNOWN, ELECTION_NOT_OPEN, ELECTION_CLOSED,
        NOT_ELIGIBLE with `reason`, TOKEN_REVOKED, OVERLOADED, UNAVAILABLE.
        """
        own = self._manifests.get(election_id).manifest_hash
        with reading(self._engine) as connection:
            arrival = service.arrive(connection, election_id, voter_id)
        if arrival.refusal is not None:
            self._junk.note_claim(election_id, arrival.refusal)
            raise Refused(arrival.refusal)
        issued = arrival.issued
        if issued is None:
            issued = self._issue(election_id, voter_id, style, arrival)
        b = service.bearer(self._keys, election_id, own, voter_id, issued.counter)
        return ClaimedToken(b, issued.style, own)

    def none_issued(self, election_id: str, voter_id: str) -> Stated:
        """The signed statement that no token was issued to this voter.

        Raises Refused: ELECTION_UNKNOWN and as `none_issued.state`.
        """
        fixed = self._manifests.get(election_id)
        return state(self._engine, self._keys, election_id, fixed, voter_id)

    def _issue(
        self,
        election_id: str,
        voter_id: str,
        style: str | None,
        arrival: service.ClaimArrival,
    ) -> IssuedToken:
        name = service.pseudonym(self._keys, election_id, voter_id)
        claim = m.Claim(
            key=service.claim_key(arrival.voter, name, style),
            voter=str(arrival.voter) if arrival.voter else None,
            pseudonym=b64u(name),
            style=style,
            arrived_at=arrival.arrived_at.astimezone(UTC).isoformat(),
        )
        answer = self._wait(Item(election_id, claim.key, 512, claim))
        if answer.issued is None:
            extras = {"reason": answer.reason} if answer.reason else {}
            raise Refused(Code(answer.code or Code.NOT_ELIGIBLE), extras=extras)
        return answer.issued

    def _wait(self, item: Item[ClaimAnswer]) -> ClaimAnswer:
        with self._gateway.placed(item) as place:
            try:
                answer = place.answer.result(self._timeout)
            except TimeoutError:
                raise Refused(Code.UNAVAILABLE, retry_after=2.0) from None
        if isinstance(answer, Isolated):
            raise Refused(Code.UNAVAILABLE, retry_after=5.0)
        return answer


def _answer(outcome: m.ClaimOutcome) -> ClaimAnswer | Isolated | None:
    if outcome.code == m.ISOLATED:
        return Isolated(m.alone("claim", outcome.key))
    if outcome.code is not None:
        return ClaimAnswer(code=outcome.code, reason=outcome.reason)
    if outcome.counter is None or outcome.style is None:
        return None
    return ClaimAnswer(issued=IssuedToken(outcome.counter, outcome.style))
