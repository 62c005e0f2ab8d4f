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
from temporalio.client import Client, WorkflowHandle
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from votepyramid.engine import metrics
from votepyramid.engine.line import AnswerT, Isolated, Item, Line
from votepyramid.errors import Code, Refused
from workflows.messages import ELECTION_ID, TASK_TIMEOUT

log = structlog.get_logger(__name__)

ELECTION = SearchAttributeKey.for_keyword(ELECTION_ID)
RPC_TIMEOUT = timedelta(seconds=2)


@dataclass(eq=False)
class Place(Generic[AnswerT]):
    """A request's place in the line. `group_id` is set once Temporal holds it."""

    item: Item[AnswerT]
    answer: Future[AnswerT | Isolated] = field(default_factory=Future)
    group_id: str | None = None
    left: bool = False
    callers: int = 0


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
            log.warning("start_failed", group=group.id, error=kind(error))
            if time.monotonic() + pause > group.began + patience:
                raise Refused(Code.UNAVAILABLE, retry_after=2.0) from None
        await asyncio.sleep(pause * (0.5 + random.random()))
        pause = min(1.0, pause * 2)


def kind(error: BaseException) -> str:
    """What kind of error, without the words it came with: they may tell secrets."""
    status = getattr(error, "status", None)
    return f"{type(error).__name__} {status.name}" if status else type(error).__name__
