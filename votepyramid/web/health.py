"""Liveness and readiness.

Alive means that this process answers. Ready means that what a vote needs is there:
Postgres, its migrations, the LISTEN connection, Temporal, its search attributes and
a polling worker are each asked, at the same time, with their own limit; and that the
gateways take requests. A worker that was killed counts as polling until Temporal has
not heard of it for a while. Findings are kept for a second, so that a storm of probes
costs one.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
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
from votepyramid.engine.installation import POLLER_FRESH_S
from votepyramid.web.services import Services

TIMEOUT_S = 2.0
KEPT_S = 1.0
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
        ("listener", _listener),
        ("temporal", _temporal),
        ("search_attributes", _search_attributes),
        ("worker", _workers),
        ("gateway", _gateways),
    ]

    async def together() -> list[Finding]:
        return await asyncio.gather(*(_timed(services, *c) for c in checks))

    return services.threads.call(together(), TIMEOUT_S * 2)


class Readiness:
    """The findings, at most a second old; one caller asks for all who come."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._findings: list[Finding] = []
        self._until = 0.0

    def findings(self) -> list[Finding]:
        with self._lock:
            if time.monotonic() >= self._until:
                self._findings = self._ask()
                self._until = time.monotonic() + KEPT_S
            return self._findings

    def _ask(self) -> list[Finding]:
        try:
            return check_all(self._services)
        except TimeoutError:
            return [Finding("engine", "its loop does not answer", TIMEOUT_S * 2_000)]


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
    except Exception as error:  # noqa: BLE001 - a finding, whatever it is
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
    head = await asyncio.to_thread(_head)
    if at != head:
        raise NotReady(f"schema is at {at}, this code needs {head}")


@cache
def _head() -> str | None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config).get_current_head()


async def _listener(services: Services) -> None:
    if not services.listener.connected:
        raise NotReady("not connected: answers come a second late")


async def _gateways(services: Services) -> None:
    if any(gateway.stuck for gateway in services.gateways):
        raise NotReady("too many groups are stuck: requests are refused")


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
