"""What is done by the clock: schedules of Temporal."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError

from votepyramid.settings import Settings
from workflows import messages as m

log = structlog.get_logger(__name__)

RETRY_S = 30.0


def schedule_id(settings: Settings) -> str:
    """One for each installation in a namespace."""
    return f"{settings.upkeep_task_queue}/{m.ARCHIVE_HISTORIES}"


async def insist(client: Client, settings: Settings) -> None:
    """Make the schedule, and try again until Temporal takes it.

    No vote waits for it: that runs of the archive are missed is the watch's to say.
    """
    while True:
        try:
            await schedule(client, settings)
        except (TemporalError, RuntimeError) as error:
            name = error.status.name if isinstance(error, RPCError) else ""
            log.warning("archive_not_scheduled", error=name or type(error).__name__)
        else:
            return
        await asyncio.sleep(RETRY_S)


async def schedule(client: Client, settings: Settings) -> None:
    """Have the archive brought up to date every `archive_hours`. Safe to repeat.

    Raises RPCError.
    """
    wanted = _schedule(settings)
    try:
        await client.create_schedule(
            schedule_id(settings), wanted, trigger_immediately=True
        )
    except ScheduleAlreadyRunningError:
        handle = client.get_schedule_handle(schedule_id(settings))

        def updated(found: ScheduleUpdateInput) -> ScheduleUpdate | None:
            # An operator who paused it keeps it paused.
            wanted.state = found.description.schedule.state
            return ScheduleUpdate(wanted)

        await handle.update(updated)


def _schedule(settings: Settings) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            m.ARCHIVE_HISTORIES,
            id=schedule_id(settings),
            task_queue=settings.upkeep_task_queue,
            task_timeout=m.TASK_TIMEOUT,
        ),
        spec=ScheduleSpec(
            intervals=[ScheduleIntervalSpec(every=interval(settings))],
        ),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )


def interval(settings: Settings) -> timedelta:
    """How often the archive is brought up to date."""
    return timedelta(hours=settings.archive_hours)
