"""ClaimTokens: the claims that were waiting, judged, issued and audited together.

Built like SubmitVotes. No bearer token passes through here: the result says which
counter it was derived with, and the claim pool derives it again.
"""

from __future__ import annotations

from typing import Any

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from workflows import messages as m
    from workflows.steps import run_patient_step, run_step


@workflow.defn(name=m.CLAIM_TOKENS)
class ClaimTokens:
    """A group of 1..n claims, each with its own outcome."""

    @workflow.run
    async def run(self, group: m.ClaimTokensInput) -> list[m.ClaimOutcome]:
        outcomes = await decide(group, run_step)
        claims = {claim.key: claim for claim in group.claims}
        for outcome in outcomes:
            if outcome.code == m.ISOLATED:
                await _go_on_alone(group.election, claims[outcome.key])
        return outcomes


@workflow.defn(name=m.CLAIM_TOKEN)
class ClaimToken:
    """One claim that could not be issued with its group."""

    @workflow.run
    async def run(self, group: m.ClaimTokensInput) -> m.ClaimOutcome:
        return (await decide(group, run_patient_step))[0]


async def decide(group: m.ClaimTokensInput, step: Any) -> list[m.ClaimOutcome]:
    """Eligibility, then issue and audit in one transaction."""
    verdicts: list[m.ClaimVerdict] = await step(
        m.CHECK_CLAIMS, group, list[m.ClaimVerdict]
    )
    outcomes: list[m.ClaimOutcome] = await step(
        m.ISSUE_TOKENS,
        m.IssueTokensInput(
            election=group.election,
            group_id=group.group_id,
            claims=group.claims,
            verdicts=verdicts,
        ),
        list[m.ClaimOutcome],
    )
    return outcomes


async def _go_on_alone(election: str, claim: m.Claim) -> None:
    child = m.alone("claim", claim.key)
    try:
        await workflow.start_child_workflow(
            m.CLAIM_TOKEN,
            m.ClaimTokensInput(election=election, group_id=child, claims=[claim]),
            id=child,
            parent_close_policy=ParentClosePolicy.ABANDON,
            # A voter refused once may be eligible by the next claim.
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            task_timeout=m.TASK_TIMEOUT,
            search_attributes=workflow.info().typed_search_attributes,
        )
    except WorkflowAlreadyStartedError:
        workflow.logger.info("claim_goes_on_alone")
