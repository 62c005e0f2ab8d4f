"""The workflow that closes an election: starting it or joining it, and asking it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError, RPCStatusCode

from votepyramid.engine.control import Desk
from workflows import messages as m
from workflows.attributes import ATTENTION, ELECTION

# A question that no worker answers is tried again for longer, unless it is ended here.
QUERY_S = 1.5
_GOING_ON = (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW)


@dataclass(frozen=True)
class Told:
    """What Temporal says of a closing that runs.

    `state` is the workflow's own word, None while no worker answers.
    """

    needs_attention: bool
    state: m.ClosingState | None


def start_or_join(desk: Desk, election: str) -> None:
    """Start the workflow, or have the one that runs look again. Raises TemporalAway.

    One that has ended does not stand in the way: it was called off, terminated, or
    the database was set back since. What is done already, each step finds.
    """
    settings = desk.settings
    asked = m.CloseElectionInput(election, patience=settings.closing_patience)

    async def start(client: Client) -> None:
        await client.start_workflow(
            m.CLOSE_ELECTION,
            asked,
            id=m.closing(election),
            task_queue=settings.closing_task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=m.LOOK_AGAIN,
            task_timeout=m.TASK_TIMEOUT,
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(ELECTION, election)]
            ),
        )

    desk.ask(start)


def look_again(desk: Desk, election: str) -> None:
    """Tell a closing that something was changed; nothing happens where none runs.

    Raises TemporalAway.
    """

    async def signal(client: Client) -> None:
        try:
            await client.get_workflow_handle(m.closing(election)).signal(m.LOOK_AGAIN)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise

    desk.ask(signal)


def told(desk: Desk, election: str) -> Told | None:
    """What Temporal says of the closing; None when none runs. Raises TemporalAway."""

    async def ask(client: Client) -> Told | None:
        handle = client.get_workflow_handle(m.closing(election))
        try:
            found = await handle.describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise
        if found.status not in _GOING_ON:
            return None
        attention = bool(found.typed_search_attributes.get(ATTENTION))
        return Told(attention, await _state(handle))

    return desk.ask(ask)


async def _state(handle: WorkflowHandle[Any, Any]) -> m.ClosingState | None:
    try:
        async with asyncio.timeout(QUERY_S):
            state: m.ClosingState = await handle.query(
                m.CLOSING_STATE, result_type=m.ClosingState
            )
    except (
        TimeoutError,
        RPCError,
        WorkflowQueryFailedError,
        WorkflowQueryRejectedError,
    ):
        return None
    return state
