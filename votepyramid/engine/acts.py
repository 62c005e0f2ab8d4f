"""What an operator can do to one workflow, through Temporal's own API.

The SDK has no calls for the steps of a workflow, hence the service's own messages.
Every act names the run that was looked at, so that it never meets another one.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from enum import StrEnum

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    PauseActivityRequest,
    RequestCancelWorkflowExecutionRequest,
    ResetActivityRequest,
    ResetWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
    UnpauseActivityRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from votepyramid.engine.control import Desk, WorkRefused
from votepyramid.engine.listing import State
from votepyramid.engine.timeline import Step, Work
from workflows import messages as m

# Those that hold votes or claims; the others have commands of their own.
KINDS = (m.SUBMIT_VOTES, m.SUBMIT_VOTE, m.CLAIM_TOKENS, m.CLAIM_TOKEN)
_LATE = (
    RPCStatusCode.NOT_FOUND,
    RPCStatusCode.FAILED_PRECONDITION,
    RPCStatusCode.INVALID_ARGUMENT,
)


class Act(StrEnum):
    """What can be done to a workflow."""

    RETRY = "retry"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    TERMINATE = "terminate"
    RESET = "reset"

    @property
    def changes_fate(self) -> bool:
        """True when it can change what becomes of a vote: two administrators do it."""
        return self in (Act.CANCEL, Act.TERMINATE, Act.RESET)


def obstacle(work: Work, act: Act, before: str | None = None) -> str | None:
    """Why an act cannot be done to a workflow as it stood, with what to do instead.

    `before` names the step to reset to; without it any step counts.
    """
    if work.kind not in KINDS:
        return f"a {work.kind} workflow holds neither votes nor claims: leave it alone"
    if work.state is not State.RUNNING:
        return f"it is {work.state} already, and nothing is done to it any more"
    pending = [step for step in work.steps if step.pending]
    held = [step for step in pending if step.state in ("paused", "pausing")]
    if act is Act.RETRY:
        return _cannot_retry(pending, held)
    if act is Act.PAUSE:
        return _cannot_pause(pending, held)
    if act is Act.RESUME and not held:
        return "none of its steps is paused"
    if act is Act.RESET and _goes_back_to(work, before) is None:
        steps = ", ".join(dict.fromkeys(s.name for s in work.steps if s.begins_at))
        return (
            f"it can be reset to before one of: {steps}"
            if steps
            else "it has done no step yet that it could be reset to: look again"
        )
    return None


def _cannot_retry(pending: list[Step], held: list[Step]) -> str | None:
    if held:
        return "its step is paused: resume it, and it is tried at once"
    if not pending:
        return _WITHIN
    if all(step.state != "waiting" for step in pending):
        return "an attempt is under way: see how it ends, 15 seconds at most"
    return None


def _cannot_pause(pending: list[Step], held: list[Step]) -> str | None:
    if held:
        return "its step is paused already"
    return None if pending else _WITHIN


_WITHIN = (
    "its steps are tried within the workflow for now, two seconds at most: look again"
)


def _goes_back_to(work: Work, before: str | None) -> int | None:
    """The event that the run is cut at; the steps of that task are done again too."""
    events = [s.begins_at for s in work.steps if before is None or s.name == before]
    return next((event for event in events if event is not None), None)


def perform(
    desk: Desk, work: Work, act: Act, *, by: str, reason: str, before: str | None = None
) -> str:
    """Do it to the run that `work` is, and return the run that goes on.

    Raises WorkRefused when it cannot be done, also because the workflow has gone on
    since it was looked at, and TemporalAway.
    """
    why = obstacle(work, act, before)
    if why is not None:
        raise WorkRefused(f"{work.workflow_id}: {why}")

    async def ask(client: Client) -> str:
        run = WorkflowExecution(workflow_id=work.workflow_id, run_id=work.run_id)
        call = _Call(client, run, by, reason)
        try:
            return await _DO[act](call, work, before) or work.run_id
        except RPCError as error:
            if error.status in _LATE:
                raise WorkRefused(
                    f"{work.workflow_id} has gone on since: look at it again"
                ) from None
            raise

    return desk.ask(ask)


class _Call:
    """One run of a workflow, who acts on it and why."""

    def __init__(
        self, client: Client, run: WorkflowExecution, by: str, reason: str
    ) -> None:
        self._service = client.workflow_service
        self._namespace = client.namespace
        self._run = run
        self._by = by
        self._reason = reason

    async def retry(self, work: Work, _before: str | None) -> None:
        for step in work.steps:
            if step.pending and step.state == "waiting":
                await self._service.reset_activity(
                    ResetActivityRequest(
                        namespace=self._namespace,
                        execution=self._run,
                        identity=self._by,
                        id=step.activity_id,
                        keep_paused=True,
                    )
                )

    async def pause(self, work: Work, _before: str | None) -> None:
        for step in work.steps:
            if step.pending:
                await self._service.pause_activity(
                    PauseActivityRequest(
                        namespace=self._namespace,
                        execution=self._run,
                        identity=self._by,
                        id=step.activity_id,
                        reason=self._reason,
                    )
                )

    async def resume(self, work: Work, _before: str | None) -> None:
        for step in work.steps:
            if step.state in ("paused", "pausing"):
                await self._service.unpause_activity(
                    UnpauseActivityRequest(
                        namespace=self._namespace,
                        execution=self._run,
                        identity=self._by,
                        id=step.activity_id,
                    )
                )

    async def cancel(self, _work: Work, _before: str | None) -> None:
        await self._service.request_cancel_workflow_execution(
            RequestCancelWorkflowExecutionRequest(
                namespace=self._namespace,
                workflow_execution=self._run,
                identity=self._by,
                request_id=str(uuid.uuid4()),
                reason=self._reason,
            )
        )

    async def terminate(self, _work: Work, _before: str | None) -> None:
        await self._service.terminate_workflow_execution(
            TerminateWorkflowExecutionRequest(
                namespace=self._namespace,
                workflow_execution=self._run,
                identity=self._by,
                reason=self._reason,
            )
        )

    async def reset(self, work: Work, before: str | None) -> str:
        answer = await self._service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=self._namespace,
                workflow_execution=self._run,
                identity=self._by,
                request_id=str(uuid.uuid4()),
                reason=self._reason,
                workflow_task_finish_event_id=_goes_back_to(work, before) or 0,
            )
        )
        return answer.run_id


_Do = Callable[[_Call, Work, str | None], Awaitable[str | None]]
_DO: dict[Act, _Do] = {
    Act.RETRY: _Call.retry,
    Act.PAUSE: _Call.pause,
    Act.RESUME: _Call.resume,
    Act.CANCEL: _Call.cancel,
    Act.TERMINATE: _Call.terminate,
    Act.RESET: _Call.reset,
}
