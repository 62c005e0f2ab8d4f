"""What an operator asks of Temporal itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from votepyramid.engine.connection import connect
from votepyramid.settings import Settings

AT_ONCE = 8


class TemporalAway(Exception):
    """Temporal could not be asked; the message says where it was looked for."""


def running(settings: Settings, workflow_ids: Iterable[str]) -> set[str]:
    """Those of the workflows that have not ended. Raises TemporalAway.

    One that Temporal does not know any more has ended: only closed ones are
    forgotten.
    """
    wanted = set(workflow_ids)
    if not wanted:
        return set()
    try:
        return asyncio.run(_running(settings, wanted))
    except (RPCError, RuntimeError) as error:
        raise TemporalAway(
            f"Temporal does not answer on {settings.temporal_address} "
            f"({type(error).__name__}): start it, or set VOTEPYRAMID_TEMPORAL_ADDRESS"
        ) from None


async def _running(settings: Settings, workflow_ids: set[str]) -> set[str]:
    client = await connect(settings, role="operator")
    room = asyncio.Semaphore(AT_ONCE)

    async def ask(workflow_id: str) -> bool:
        async with room:
            return await _is_running(client, workflow_id)

    ordered = sorted(workflow_ids)
    answers = await asyncio.gather(*map(ask, ordered))
    return {one for one, yes in zip(ordered, answers, strict=True) if yes}


async def _is_running(client: Client, workflow_id: str) -> bool:
    try:
        found = await client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return False
        raise
    return found.status == WorkflowExecutionStatus.RUNNING
