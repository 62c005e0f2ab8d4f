"""Liveness and readiness.

Alive means that this process answers. Ready means that a vote taken now would be
recorded now: Postgres, its migrations, Temporal, its search attributes and a polling
worker are each asked, at the same time, with their own limit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

from votepyramid.db import reading
from votepyramid.engine import preparation
from votepyramid.web.services import Services

TIMEOUT_S = 2.0
# A poller renews every minute; one seen longer ago than this is gone.
POLLER_FRESH_S = 75.0
MIGRATIONS = Path(__file__).resolve().parents[2] / "alembic"


class NotReady(Exception):
    """A check's finding, in words that may be shown."""


@dataclass(frozen=True)
class Finding:
    """One check: its name, null or what is wrong, and how long it took."""

    name: str
    problem: str | None
    milliseconds: float


def check_all(services: Services) -> list[Finding]:
    """Every check, side by side, in a fixed order."""
    checks: list[tuple[str, Callable[[Services], Awaitable[None]]]] = [
        ("postgres", _postgres),
        ("migrations", _migrations),
        ("temporal", _temporal),
        ("search_attributes", _search_attributes),
        ("worker", _workers),
    ]

    async def together() -> list[Finding]:
        return await asyncio.gather(*(_timed(services, *c) for c in checks))

    return services.threads.call(together(), TIMEOUT_S * 2)


async def _timed(
    services: Services, name: str, check: Callable[[Services], Awaitable[None]]
) -> Finding:
    began = time.perf_counter()
    problem: str | None = None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await check(services)
    except NotReady as finding:
        problem = str(finding)
    except TimeoutError:
        problem = f"no answer within {TIMEOUT_S:g} s"
    except Exception as error:
        problem = f"not reached ({type(error).__name__})"
    return Finding(name, problem, round((time.perf_counter() - began) * 1000, 1))


def _query(services: Services, statement: str) -> Any:
    with reading(services.engine) as connection:
        return connection.execute(text(statement)).scalar()


async def _postgres(services: Services) -> None:
    if await asyncio.to_thread(_query, services, "SELECT 1") != 1:
        raise NotReady("answers nonsense")


async def _migrations(services: Services) -> None:
    at = await asyncio.to_thread(
        _query, services, "SELECT version_num FROM alembic_version"
    )
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    head = ScriptDirectory.from_config(config).get_current_head()
    if at != head:
        raise NotReady(f"schema is at {at}, this code needs {head}")


async def _temporal(services: Services) -> None:
    client = await services.temporal.client()
    if not await client.service_client.check_health():
        raise NotReady("not serving")


async def _search_attributes(services: Services) -> None:
    absent = await preparation.missing(await services.temporal.client())
    if absent:
        raise NotReady(f"not registered: {', '.join(absent)}")


async def _workers(services: Services) -> None:
    client = await services.temporal.client()
    settings = services.settings
    queues = {"cast": settings.vote_task_queue, "claim": settings.claim_task_queue}
    for role in sorted(settings.roles):
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=queues[role]),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            )
        )
        now = time.time()
        seen = [poller.last_access_time.ToSeconds() for poller in answer.pollers]
        if not any(now - at < POLLER_FRESH_S for at in seen):
            raise NotReady(f"no worker polls {queues[role]}")
