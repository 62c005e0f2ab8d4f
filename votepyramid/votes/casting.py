"""Casting: from a parsed request to a receipt, a refusal, or "not yet".

The line says how votes travel in groups; the service answers what can be answered
from Postgres, hands the rest to the gateway and waits for a bounded time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from votepyramid.audit.junk import JunkCounter
from votepyramid.db import SharedRead, reading
from votepyramid.elections.service import Manifests
from votepyramid.engine.gateway import Gateway
from votepyramid.engine.groups import Place
from votepyramid.engine.line import Isolated, Item
from votepyramid.errors import Code, Refused
from votepyramid.protocol.encoding import b64u
from votepyramid.settings import Settings
from votepyramid.votes import holding, service
from votepyramid.votes.ballots import CastBallot, Submission, identify
from workflows import messages as m


@dataclass(frozen=True)
class Answer:
    """A decided vote: the stored answer's text, or the code it was refused with."""

    receipt: str | None = None
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Pending:
    """Accepted for recording and not recorded yet; ask by the receipt hash."""

    receipt_hash: str


@dataclass
class _Arrived:
    """What travels. `noted_in` is the group under which its caller noted it when
    leaving with a 202."""

    ballot: CastBallot
    at: datetime
    noted_in: str | None = None


class VoteLine:
    """How votes travel: the gateway's Line for `submit_votes`."""

    workflow = m.SUBMIT_VOTES
    prefix = "votes"

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self.task_queue = settings.vote_task_queue

    def message(
        self, election: str, group_id: str, items: Sequence[Item[Answer]]
    ) -> m.SubmitVotesInput:
        votes = [cast_vote(item.content.ballot, item.content.at) for item in items]
        return m.SubmitVotesInput(election=election, group_id=group_id, votes=votes)

    def read(self, election: str, items: Sequence[Item[Answer]]) -> dict[str, Answer]:
        with reading(self._engine) as connection:
            found = service.stored_receipts(connection, [item.key for item in items])
        return {key: Answer(receipt=receipt) for key, receipt in found.items()}

    def answers(
        self, result: list[m.VoteOutcome]
    ) -> dict[str, Answer | Isolated | None]:
        return {outcome.receipt_hash: _answer(outcome) for outcome in result}

    def result_type(self) -> Any:
        return list[m.VoteOutcome]

    def settle(self, item: Item[Answer], answer: Answer) -> None:
        if answer.code is not None:
            self._let_go(item, answer.code)

    def abandon(self, item: Item[Answer]) -> None:
        self._let_go(item, holding.ENDED)

    def _let_go(self, item: Item[Answer], code: str) -> None:
        group = item.content.noted_in
        with self._engine.begin() as connection:
            holding.settle(connection, item.key, group, code)


class Casting:
    """Takes votes. Safe to call from many threads."""

    def __init__(
        self,
        engine: Engine,
        gateway: Gateway[Answer],
        junk: JunkCounter,
        manifests: Manifests,
        settings: Settings,
    ) -> None:
        self._engine = engine
        self._junk = junk
        self._gateway = gateway
        self._timeout = settings.answer_timeout
        self._manifests = manifests
        self._door = SharedRead(engine, service.arrive)

    def cast(self, election_id: str, submission: Submission) -> Answer | Pending:
        """Record a vote, or find it recorded.

        Raises Refused: ELECTION_UNKNOWN, TOKEN_UNKNOWN, ELECTION_NOT_OPEN,
        ELECTION_CLOSED at the door; OVERLOADED or UNAVAILABLE when the same bytes
        should be sent again. Every refusal of the vote itself is an Answer.
        """
        own = self._manifests.get(election_id).manifest_hash
        ballot = identify(election_id, own, submission)
        arrival = self._door.ask(ballot)
        if arrival.receipt is not None:
            return Answer(receipt=arrival.receipt)
        if arrival.refusal is not None:
            return self._refuse(ballot, arrival.refusal)
        item = Item[Answer](
            election_id,
            ballot.receipt_hash,
            len(ballot.payload) * 4 // 3 + 512,
            _Arrived(ballot, arrival.arrived_at),
        )
        with self._gateway.placed(item) as place:
            return self._wait(ballot, place)

    def _refuse(self, ballot: CastBallot, refusal: Code) -> Pending:
        """A vote that was in time and answered with 202 is never told "closed"."""
        if refusal is Code.ELECTION_CLOSED:
            with reading(self._engine) as connection:
                known = service.status(connection, ballot.election, ballot.receipt_hash)
            if known is not None and known.pending:
                return Pending(ballot.receipt_hash)
        self._junk.note_vote(ballot.election, refusal)
        raise Refused(refusal)

    def _wait(self, ballot: CastBallot, place: Place[Answer]) -> Answer | Pending:
        try:
            answer = place.answer.result(self._timeout)
        except TimeoutError:
            return self._leave(ballot, place)
        if isinstance(answer, Isolated):
            # Noted already, by the transaction that left it to a workflow of its own.
            return Pending(ballot.receipt_hash)
        return answer

    def _leave(self, ballot: CastBallot, place: Place[Answer]) -> Answer | Pending:
        """The voter has waited long enough: 202 if the vote is held durably."""
        group = place.group_id
        if group is None:
            raise Refused(Code.UNAVAILABLE, retry_after=2.0)
        # Either we see the answer after writing, or the gateway sees that we left.
        place.item.content.noted_in = group
        place.left = True
        with self._engine.begin() as connection:
            holding.note(connection, ballot.election, ballot.receipt_hash, group)
        if not place.answer.done():
            return Pending(ballot.receipt_hash)
        try:
            answer = place.answer.result()
        except Refused:
            # It ended undecided while we wrote: nobody is promised anything.
            self._settle(ballot, group, holding.ENDED)
            raise
        if isinstance(answer, Isolated):
            self._settle(ballot, group, holding.ENDED)
            return Pending(ballot.receipt_hash)
        if answer.code is not None:
            self._settle(ballot, group, answer.code)
        return answer

    def _settle(self, ballot: CastBallot, group: str, code: str) -> None:
        with self._engine.begin() as connection:
            holding.settle(connection, ballot.receipt_hash, group, code)


def cast_vote(ballot: CastBallot, at: datetime) -> m.CastVote:
    """What travels of a ballot that arrived at `at`."""
    return m.CastVote(
        receipt_hash=ballot.receipt_hash,
        token_id=str(ballot.token_id),
        tag=b64u(ballot.tag),
        ciphertext_hash=b64u(ballot.ciphertext_hash),
        payload=b64u(ballot.payload),
        style=ballot.style,
        suite=ballot.suite,
        key_id=ballot.key_id.hex(),
        manifest_hash=ballot.manifest_hash.hex(),
        arrived_at=at.astimezone(UTC).isoformat(),
    )


def _answer(outcome: m.VoteOutcome) -> Answer | Isolated | None:
    if outcome.code == m.ISOLATED:
        return Isolated(m.alone("vote", outcome.receipt_hash))
    if outcome.code is not None:
        return Answer(code=outcome.code, reason=outcome.reason)
    return None
