"""The textbook's worker process, as well tuned as we could.

    python -m bench.textbook.worker POLLERS

The settings come from the environment, as the engine's own worker reads them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import uvloop
from temporalio.worker import (
    PollerBehaviorSimpleMaximum,
    UnsandboxedWorkflowRunner,
    Worker,
)

from bench.textbook.activities import TextbookSteps
from bench.textbook.messages import TASK_QUEUE
from bench.textbook.workflow import TextbookWorkflow
from votepyramid.db import make_engine
from votepyramid.engine.connection import connect
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.service import ElectionKeys
from votepyramid.settings import Settings

THREADS = 32
SLOTS = 200


async def main(pollers: int) -> None:
    settings = Settings.load()
    client = await connect(settings, role="textbook")
    engine = make_engine(
        settings.require("database_url"),
        pool_size=THREADS,
        application_name="votepyramid-textbook",
    )
    provider = LocalKeyFile(settings.require("kek_file"))
    keys = ElectionKeys(provider, engine, settings.data_key_rows)
    steps = TextbookSteps(engine, keys)
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[TextbookWorkflow],
        activities=[steps.check, steps.encrypt, steps.store, steps.mark, steps.audit],
        activity_executor=ThreadPoolExecutor(THREADS, "step"),
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_workflow_tasks=SLOTS,
        max_concurrent_activities=THREADS,
        workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(pollers),
        activity_task_poller_behavior=PollerBehaviorSimpleMaximum(pollers),
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with worker:
        print("polling", flush=True)
        await stop.wait()
        # As the engine's processes leave: the SDK's teardown crashes now and then.
        os._exit(0)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
