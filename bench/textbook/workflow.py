"""One workflow a vote, five regular activities: what the engine is compared with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from bench.textbook import messages as t
    from workflows import messages as m
    from workflows.submit_votes import to_check, to_encrypt, to_record

T = TypeVar("T")
_TIMEOUT = timedelta(seconds=15)


@workflow.defn(name=t.WORKFLOW)
class TextbookWorkflow:
    """Check eligibility, encrypt, store, mark the token, audit: the receipt."""

    @workflow.run
    async def run(self, cast: t.TextbookVote) -> str:
        election, vote = cast.election, cast.vote
        group = m.SubmitVotesInput(election, workflow.info().workflow_id, [vote])
        verdict = await _do(t.CHECK, to_check(group), m.Verdict)
        if verdict.code is not None:
            raise ValueError(verdict.code)
        sealed = to_encrypt(group, group.votes)
        ballot = await _do(t.ENCRYPT, sealed, m.EncryptedBallot)
        stored = t.TextbookBallot(election, to_record(vote, verdict, ballot))
        receipt = await _do(t.STORE, stored, str)
        await _do(t.MARK, t.TextbookToken(election, vote.token_id), bool)
        await _do(t.AUDIT, t.TextbookEvent(election, vote.receipt_hash), bool)
        return receipt


async def _do(name: str, argument: Any, result_type: type[T]) -> T:
    result: T = await workflow.execute_activity(
        name, argument, result_type=result_type, start_to_close_timeout=_TIMEOUT
    )
    return result
