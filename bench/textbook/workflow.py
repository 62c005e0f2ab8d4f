"""One workflow a vote, five regular activities: what the engine is compared with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from bench.textbook import messages as t
    from workflows import messages as m

T = TypeVar("T")
_TIMEOUT = timedelta(seconds=15)


@workflow.defn(name=t.WORKFLOW)
class TextbookWorkflow:
    """Check eligibility, encrypt, store, mark the token, audit: the receipt."""

    @workflow.run
    async def run(self, cast: t.TextbookVote) -> str:
        election, vote = cast.election, cast.vote
        verdict = await _do(t.CHECK, _to_check(cast), m.Verdict)
        if verdict.code is not None:
            raise ValueError(verdict.code)
        ballot = await _do(t.ENCRYPT, _to_encrypt(cast), m.EncryptedBallot)
        stored = t.TextbookBallot(election, _to_record(vote, ballot))
        receipt = await _do(t.STORE, stored, str)
        await _do(t.MARK, t.TextbookToken(election, vote.token_id), bool)
        await _do(t.AUDIT, t.TextbookEvent(election, vote.receipt_hash), bool)
        return receipt


async def _do(name: str, argument: Any, result_type: type[T]) -> T:
    result: T = await workflow.execute_activity(
        name, argument, result_type=result_type, start_to_close_timeout=_TIMEOUT
    )
    return result


def _to_check(cast: t.TextbookVote) -> m.CheckEligibilityInput:
    vote = cast.vote
    return m.CheckEligibilityInput(
        election=cast.election,
        group_id=workflow.info().workflow_id,
        votes=[
            m.VoteToCheck(
                receipt_hash=vote.receipt_hash,
                token_id=vote.token_id,
                payload_bytes=len(vote.payload) * 3 // 4,
                style=vote.style,
                suite=vote.suite,
                key_id=vote.key_id,
                manifest_hash=vote.manifest_hash,
                arrived_at=vote.arrived_at,
            )
        ],
    )


def _to_encrypt(cast: t.TextbookVote) -> m.EncryptBallotsInput:
    vote = cast.vote
    return m.EncryptBallotsInput(
        election=cast.election,
        group_id=workflow.info().workflow_id,
        votes=[
            m.VoteToEncrypt(
                receipt_hash=vote.receipt_hash,
                payload=vote.payload,
                style=vote.style,
                suite=vote.suite,
                key_id=vote.key_id,
                manifest_hash=vote.manifest_hash,
            )
        ],
    )


def _to_record(vote: m.CastVote, ballot: m.EncryptedBallot) -> m.VoteToRecord:
    return m.VoteToRecord(
        receipt_hash=vote.receipt_hash,
        token_id=vote.token_id,
        tag=vote.tag,
        ciphertext_hash=vote.ciphertext_hash,
        manifest_hash=vote.manifest_hash,
        code=None,
        reason=None,
        row_id=ballot.row_id,
        snapshot=ballot.snapshot,
    )
