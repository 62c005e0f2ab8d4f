"""A worker counts the workflows of its queues again and again, for whoever watches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from votepyramid.engine import metrics
from votepyramid.engine.installation import running, untaken
from workflows.attributes import ATTENTION

log = structlog.get_logger(__name__)

# Temporal answers ten such questions a second, of everybody together.
EVERY_S = 30.0


async def watch(client: Client, queues: Sequence[str], patient: Sequence[str]) -> None:
    """Show how many run and how many need attention, until cancelled; and on how many
    of the `patient` queues work waits for a worker that is not there.

    As visibility tells, which is a second or so behind.
    """
    of_ours = running(queues)
    while True:
        try:
            everything = await client.count_workflows(of_ours)
            attention = await client.count_workflows(
                f"{of_ours} AND {ATTENTION.name} = true"
            )
            alone = await untaken(client, patient)
        except RPCError as error:
            log.warning("workflows_not_counted", error=error.status.name)
        else:
            metrics.RUNNING.set(everything.count)
            metrics.ATTENTION.set(attention.count)
            metrics.UNTAKEN.set(len(alone))
            metrics.COUNTED.set(time.time())
        await asyncio.sleep(EVERY_S)
