"""Starting the workflow that rewraps keys, joining it, and watching it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.common import (
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import FailureError
from temporalio.service import RPCError

from votepyramid.engine.control import operators_client, temporal_away
from votepyramid.settings import Settings
from workflows import messages as m
from workflows.attributes import ATTENTION

PAUSE_S = 0.3
QUERY_TIMEOUT = timedelta(seconds=3)

Watcher = Callable[[m.RewrapProgress | None, bool], None]


class RewrapEnded(Exception):
    """The rewrapping ended before it was done; the message says why."""


def rewrap(
    settings: Settings, asked: m.RewrapKeysInput, watch: Watcher
) -> m.RewrapProgress:
    """Start a rewrapping, or join the one under way, and wait until it has ended.

    `watch` is told how far it is, or None while no worker answers, and whether it
    needs attention. Raises RewrapEnded, and TemporalAway. Interrupted, it leaves the
    workflow to go on.
    """
    with temporal_away(settings):
        return asyncio.run(_rewrap(settings, asked, watch))


async def _rewrap(
    settings: Settings, asked: m.RewrapKeysInput, watch: Watcher
) -> m.RewrapProgress:
    client = await operators_client(settings)
    while True:
        handle = await _start(client, settings, asked)
        done = await _follow(handle, watch)
        # One that was under way may have been asked for another key.
        if done.target == asked.target:
            return done


async def _start(
    client: Client, settings: Settings, asked: m.RewrapKeysInput
) -> WorkflowHandle[Any, m.RewrapProgress]:
    workflow_id = m.rewrapping(settings.keys_task_queue)
    await client.start_workflow(
        m.REWRAP_KEYS,
        asked,
        id=workflow_id,
        task_queue=settings.keys_task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        task_timeout=m.TASK_TIMEOUT,
    )
    return client.get_workflow_handle(workflow_id, result_type=m.RewrapProgress)


async def _follow(
    handle: WorkflowHandle[Any, m.RewrapProgress], watch: Watcher
) -> m.RewrapProgress:
    going_on = (
        WorkflowExecutionStatus.RUNNING,
        WorkflowExecutionStatus.CONTINUED_AS_NEW,
    )
    while (found := await handle.describe()).status in going_on:
        stuck = found.typed_search_attributes.get(ATTENTION) or False
        watch(await _progress(handle), stuck)
        await asyncio.sleep(PAUSE_S)
    try:
        return await handle.result()
    except WorkflowFailureError as error:
        raise RewrapEnded(_why(error)) from None


async def _progress(
    handle: WorkflowHandle[Any, m.RewrapProgress],
) -> m.RewrapProgress | None:
    try:
        answer: m.RewrapProgress = await handle.query(
            m.PROGRESS, result_type=m.RewrapProgress, rpc_timeout=QUERY_TIMEOUT
        )
    except (RPCError, WorkflowQueryFailedError, WorkflowQueryRejectedError):
        return None
    return answer


def _why(error: WorkflowFailureError) -> str:
    """The innermost failure: an activity's own words, or "cancelled"."""
    cause: BaseException = error.cause
    while isinstance(cause, FailureError) and cause.cause is not None:
        cause = cause.cause
    return f"the rewrapping ended before it was done: {cause}"
