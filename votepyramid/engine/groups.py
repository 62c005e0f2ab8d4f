"""A group of requests that travel together, and how it is handed to Temporal."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic

import structlog
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from votepyramid.engine import measuring, metrics
from votepyramid.engine.line import AnswerT, Isolated, Item, Line
from votepyramid.errors import Code, Refused
from workflows.attributes import ELECTION
from workflows.messages import TASK_TIMEOUT

log = structlog.get_logger(__name__)

RPC_TIMEOUT = timedelta(seconds=2)
_GOING_ON = (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED)


@dataclass(eq=False)
class Place(Generic[AnswerT]):
    """A request's place in the line. `group_id` is set once Temporal holds it."""

    item: Item[AnswerT]
    answer: Future[AnswerT | Isolated] = field(default_factory=Future)
    group_id: str | None = None
    left: bool = False
    callers: int = 0
    # Where in its trace the request waits; None when nothing is traced.
    came: Any = None


@dataclass(eq=False)
class Group(Generic[AnswerT]):
    """Requests of one election under way. `woken` when it may have committed."""

    id: str
    election: str
    places: list[Place[AnswerT]]
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    began: float = field(default_factory=time.monotonic)
    task: asyncio.Task[None] | None = None

    @property
    def key(self) -> str:
        """The key of its first item."""
        return self.places[0].item.key

    def waiting(self) -> list[Place[AnswerT]]:
        return [place for place in self.places if not place.answer.done()]


async def start(
    group: Group[AnswerT],
    line: Line[AnswerT],
    connect: Callable[[], Awaitable[Client]],
    patience: float,
) -> WorkflowHandle[Any, Any]:
    """Start the group; a start whose answer was lost is joined, not repeated.

    Raises Refused: UNAVAILABLE when Temporal has not taken it `patience` seconds
    after the group began.
    """
    message = line.message(
        group.election, group.id, [place.item for place in group.places]
    )
    pause = 0.05
    while True:
        try:
            client = await connect()
            return await client.start_workflow(
                line.workflow,
                message,
                id=group.id,
                task_queue=line.task_queue,
                result_type=line.result_type(),
                task_timeout=TASK_TIMEOUT,
                rpc_timeout=RPC_TIMEOUT,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                search_attributes=TypedSearchAttributes(
                    [SearchAttributePair(ELECTION, group.election)]
                ),
            )
        except WorkflowAlreadyStartedError:
            return (await connect()).get_workflow_handle(
                group.id, result_type=line.result_type()
            )
        except (RPCError, RuntimeError, OSError, TimeoutError) as error:
            metrics.START_RETRIES.labels(line.prefix).inc()
            if isinstance(error, RuntimeError):
                measuring.not_connected()
            log.warning("start_failed", group=group.id, error=kind(error))
            if time.monotonic() + pause > group.began + patience:
                raise Refused(Code.UNAVAILABLE, retry_after=2.0) from None
        await asyncio.sleep(pause * (0.5 + random.random()))
        pause = min(1.0, pause * 2)


async def begun_anew(
    client: Client, line: Line[AnswerT], group_id: str
) -> WorkflowHandle[Any, Any] | None:
    """The run that goes on for one that has ended, or has gone on: an operator's reset.

    Temporal ends the old run and begins the new one in one step.
    """
    while True:
        try:
            found = await client.get_workflow_handle(group_id).describe()
        except RPCError as error:
            log.warning("describe_failed", group=group_id, error=kind(error))
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            await asyncio.sleep(RPC_TIMEOUT.total_seconds())
            continue
        if found.status not in _GOING_ON:
            return None
        return client.get_workflow_handle(
            group_id, run_id=found.run_id, result_type=line.result_type()
        )


def kind(error: BaseException) -> str:
    """What kind of error, without the words it came with: they may tell secrets."""
    status = getattr(error, "status", None)
    return f"{type(error).__name__} {status.name}" if status else type(error).__name__
