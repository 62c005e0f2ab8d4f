"""SubmitVotes: the votes that were waiting, checked, enveloped and recorded together.

A vote's own fault never spoils its neighbours: a step marks it `isolated`, and it
goes on as the child workflow `vote/<receipt_hash>`, which retries without limit and
outlives its parent. Business refusals are results, not failures.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from workflows import messages as m
    from workflows.steps import run_patient_step, run_step

Step = Callable[[str, Any, Any], Awaitable[Any]]


@workflow.defn(name=m.SUBMIT_VOTES)
class SubmitVotes:
    """A group of 1..n votes, each with its own outcome."""

    @workflow.run
    async def run(self, group: m.SubmitVotesInput) -> list[m.VoteOutcome]:
        outcomes = await decide(group, run_step)
        votes = {vote.receipt_hash: vote for vote in group.votes}
        for outcome in outcomes:
            if outcome.code == m.ISOLATED:
                await _go_on_alone(group.election, votes[outcome.receipt_hash])
        return outcomes


@workflow.defn(name=m.SUBMIT_VOTE)
class SubmitVote:
    """One vote that could not be recorded with its group: visible, never given up."""

    @workflow.run
    async def run(self, group: m.SubmitVotesInput) -> m.VoteOutcome:
        return (await decide(group, run_patient_step))[0]


async def decide(group: m.SubmitVotesInput, step: Step) -> list[m.VoteOutcome]:
    """The three steps, in order; one outcome a vote, in the group's order."""
    verdicts: list[m.Verdict] = await step(
        m.CHECK_ELIGIBILITY, to_check(group), list[m.Verdict]
    )
    verdict = {v.receipt_hash: v for v in verdicts}
    ballots: list[m.EncryptedBallot] = []
    eligible = [v for v in group.votes if verdict[v.receipt_hash].code is None]
    if eligible:
        ballots = await step(
            m.ENCRYPT_BALLOTS, to_encrypt(group, eligible), list[m.EncryptedBallot]
        )
    ballot = {b.receipt_hash: b for b in ballots}
    outcomes: list[m.VoteOutcome] = await step(
        m.RECORD_VOTES,
        m.RecordVotesInput(
            election=group.election,
            group_id=group.group_id,
            votes=[
                to_record(v, verdict[v.receipt_hash], ballot.get(v.receipt_hash))
                for v in group.votes
            ],
        ),
        list[m.VoteOutcome],
    )
    return outcomes


async def _go_on_alone(election: str, vote: m.CastVote) -> None:
    child = m.alone("vote", vote.receipt_hash)
    try:
        await workflow.start_child_workflow(
            m.SUBMIT_VOTE,
            m.SubmitVotesInput(election=election, group_id=child, votes=[vote]),
            id=child,
            # The default would end the child with this group.
            parent_close_policy=ParentClosePolicy.ABANDON,
            # Recording is idempotent, and a vote refused once, for instance for the
            # roster of that day, may be sent again and be accepted.
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            task_timeout=m.TASK_TIMEOUT,
            search_attributes=workflow.info().typed_search_attributes,
        )
    except WorkflowAlreadyStartedError:
        workflow.logger.info("vote_goes_on_alone")


def to_check(group: m.SubmitVotesInput) -> m.CheckEligibilityInput:
    """What the eligibility step gets of each vote: never its payload."""
    return m.CheckEligibilityInput(
        election=group.election,
        group_id=group.group_id,
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
            for vote in group.votes
        ],
    )


def to_encrypt(
    group: m.SubmitVotesInput, votes: list[m.CastVote]
) -> m.EncryptBallotsInput:
    """What the encryption step gets of the eligible votes."""
    return m.EncryptBallotsInput(
        election=group.election,
        group_id=group.group_id,
        votes=[
            m.VoteToEncrypt(
                receipt_hash=vote.receipt_hash,
                payload=vote.payload,
                style=vote.style,
                suite=vote.suite,
                key_id=vote.key_id,
                manifest_hash=vote.manifest_hash,
            )
            for vote in votes
        ],
    )


def to_record(
    vote: m.CastVote, verdict: m.Verdict, ballot: m.EncryptedBallot | None
) -> m.VoteToRecord:
    """A vote as the recording step gets it, with what was found before."""
    failed = ballot is not None and ballot.snapshot is None
    return m.VoteToRecord(
        receipt_hash=vote.receipt_hash,
        token_id=vote.token_id,
        tag=vote.tag,
        ciphertext_hash=vote.ciphertext_hash,
        manifest_hash=vote.manifest_hash,
        code=m.ISOLATED if failed else verdict.code,
        reason=verdict.reason,
        row_id=ballot.row_id if ballot else None,
        snapshot=ballot.snapshot if ballot else None,
    )
