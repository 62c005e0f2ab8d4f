"""What Temporal says of an installation: asked by `votepyramid doctor`.

Each question has a connection of its own and an end, and needs no payload key.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, ScheduleActionStartWorkflow
from temporalio.service import RPCError, RPCStatusCode

from votepyramid.engine import preparation, upkeep
from votepyramid.settings import Settings
from workflows.attributes import ATTENTION

T = TypeVar("T")

TIMEOUT_S = 4.0
# A poller renews every minute; one seen longer ago than this is gone.
POLLER_FRESH_S = 75.0
_KINDS = (
    TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
)


class Silent(Exception):
    """Temporal does not answer, or refuses; the message is the cause in a word."""


class NotThere(Silent):
    """The namespace is not registered."""


@dataclass(frozen=True)
class Scheduled:
    """The schedule of the archive: what it starts, where, how often in seconds."""

    paused: bool
    workflow: str
    task_queue: str
    every: tuple[float, ...]


@dataclass(frozen=True)
class Waiting:
    """Workflows that need a person, and all that have run for longer than asked."""

    attention: int
    old: int


def serving(settings: Settings) -> bool:
    """Whether the frontend says that it serves. Raises Silent."""

    async def ask(client: Client) -> bool:
        return await client.service_client.check_health()

    return _asked(settings, ask)


def missing_attributes(settings: Settings) -> list[str]:
    """Search attributes that are not registered. Raises Silent."""
    return _asked(settings, preparation.missing)


def retention(settings: Settings) -> timedelta:
    """How long the namespace keeps a closed workflow. Raises NotThere, Silent."""
    return _asked(settings, preparation.retention)


def archive_schedule(settings: Settings) -> Scheduled | None:
    """The schedule that brings the archive up to date. Raises Silent."""

    async def ask(client: Client) -> Scheduled | None:
        handle = client.get_schedule_handle(upkeep.schedule_id(settings))
        # A namespace that is missing is told apart from the schedule.
        await preparation.retention(client)
        try:
            found = (await handle.describe()).schedule
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise
        does, every = found.action, found.spec.intervals
        workflow, queue = "", ""
        if isinstance(does, ScheduleActionStartWorkflow):
            workflow, queue = str(does.workflow), does.task_queue
        seconds = tuple(one.every.total_seconds() for one in every)
        return Scheduled(found.state.paused, workflow, queue, seconds)

    return _asked(settings, ask)


def unpolled(
    settings: Settings, queues: Sequence[str], patient: Sequence[str]
) -> list[str]:
    """Those of the task queues that no worker polls; of `patient` ones, which need a
    worker only at times, those that have workflows. Raises Silent."""

    async def ask(client: Client) -> list[str]:
        answers = await asyncio.gather(*(polled(client, queue) for queue in queues))
        idle = [name for name, yes in zip(queues, answers, strict=True) if not yes]
        return idle + await untaken(client, patient)

    return _asked(settings, ask)


async def polled(client: Client, queue: str) -> bool:
    """Whether a worker was heard of lately, for workflows and steps. Raises RPCError.

    One that was killed counts until Temporal has not heard of it for a while.
    """
    for kind in _KINDS:
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=queue),
                task_queue_type=kind,
            )
        )
        seen = [poller.last_access_time.ToSeconds() for poller in answer.pollers]
        if not any(time.time() - at < POLLER_FRESH_S for at in seen):
            return False
    return True


async def untaken(client: Client, queues: Sequence[str]) -> list[str]:
    """Those of the task queues that have workflows and no worker. Raises RPCError."""

    async def has_work(some: Sequence[str]) -> bool:
        return (await client.count_workflows(running(some))).count > 0

    # One question more seldom than many: mostly there is none.
    if not queues or not await has_work(queues):
        return []
    return [
        queue
        for queue in queues
        if not await polled(client, queue) and await has_work([queue])
    ]


def running(queues: Sequence[str]) -> str:
    """Temporal's query for the running workflows of these task queues."""
    names = ", ".join(f"'{_quoted(name)}'" for name in queues)
    return f"ExecutionStatus = 'Running' AND TaskQueue IN ({names})"


def waiting(
    settings: Settings,
    queues: Sequence[str],
    age: timedelta,
    patient: Sequence[str] = (),
) -> Waiting:
    """Running workflows of the task queues, counted. Raises Silent.

    Those of `patient` queues may run for long. As visibility tells, which is a second
    or so behind.
    """
    of_ours, of_all = running(queues), running([*queues, *patient])
    since = f"{datetime.now(UTC) - age:%Y-%m-%dT%H:%M:%SZ}"

    async def ask(client: Client) -> Waiting:
        attention = await client.count_workflows(
            f"{of_all} AND {ATTENTION.name} = true"
        )
        old = await client.count_workflows(f"{of_ours} AND StartTime < '{since}'")
        return Waiting(attention.count, old.count)

    return _asked(settings, ask)


def _quoted(name: str) -> str:
    return name.replace("\\", "\\\\").replace("'", "\\'")


def _asked(settings: Settings, ask: Callable[[Client], Awaitable[T]]) -> T:
    async def work() -> T:
        async with asyncio.timeout(TIMEOUT_S):
            client = await Client.connect(
                settings.temporal_address,
                namespace=settings.temporal_namespace,
                identity=f"votepyramid-doctor-{os.getpid()}",
            )
            return await ask(client)

    try:
        return asyncio.run(work())
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            raise NotThere(settings.temporal_namespace) from None
        raise Silent(error.status.name) from None
    except TimeoutError:
        raise Silent(f"no answer within {TIMEOUT_S:g} s") from None
    except (RuntimeError, ValueError):
        # The SDK has no types of its own for no connection and for no address.
        raise Silent("no connection") from None
