"""A worker process: polls for groups, runs their steps, drains on SIGTERM.

One process per core, apart from the web: a worker's event loop and waiting web
threads under one GIL cost several times the throughput. A worker serves the lines
of its roles, so that the issuance key is only where claims are.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.worker import (
    PollerBehaviorAutoscaling,
    UnsandboxedWorkflowRunner,
    Worker,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.eligibility import EligibilitySteps
from activities.encryption import EncryptionSteps
from activities.storage import StorageSteps
from activities.tokens import TokenSteps
from votepyramid.db import make_engine
from votepyramid.engine import preparation
from votepyramid.engine.connection import connect
from votepyramid.keys import providers
from votepyramid.keys.service import ElectionKeys
from votepyramid.settings import Settings
from workflows.claim_tokens import ClaimToken, ClaimTokens
from workflows.submit_votes import SubmitVote, SubmitVotes

log = structlog.get_logger(__name__)

VOTE_WORKFLOWS = [SubmitVotes, SubmitVote]
CLAIM_WORKFLOWS = [ClaimTokens, ClaimToken]
STEP_THREADS = 8


def build_workers(client: Client, settings: Settings) -> list[Worker]:
    """The workers of this process's roles, not yet running."""
    engine = make_engine(
        settings.require("database_url"),
        pool_size=4 * STEP_THREADS,
        application_name="votepyramid-worker",
    )
    provider = providers.make(settings)
    keys = ElectionKeys(provider, engine, settings.data_key_rows)
    steps = EligibilitySteps(engine)
    workers = []
    if "cast" in settings.roles:
        storage = StorageSteps(engine, keys)
        activities = [
            steps.check_eligibility,
            EncryptionSteps(keys).encrypt_ballots,
            storage.record_votes,
        ]
        queue = settings.vote_task_queue
        workers.append(_worker(client, settings, queue, VOTE_WORKFLOWS, activities))
    if "claim" in settings.roles:
        activities = [steps.check_claims, TokenSteps(engine, keys).issue_tokens]
        queue = settings.claim_task_queue
        workers.append(_worker(client, settings, queue, CLAIM_WORKFLOWS, activities))
    return workers


def _worker(
    client: Client,
    settings: Settings,
    task_queue: str,
    workflows: Sequence[type],
    activities: list[Any],
) -> Worker:
    runner = (
        SandboxedWorkflowRunner() if settings.sandboxed else UnsandboxedWorkflowRunner()
    )
    return Worker(
        client,
        task_queue=task_queue,
        workflows=workflows,
        activities=activities,
        # Room for both kinds: patient retries that hang must not starve the steps
        # of healthy groups.
        activity_executor=ThreadPoolExecutor(2 * STEP_THREADS, f"step-{task_queue}"),
        workflow_runner=runner,
        max_concurrent_workflow_tasks=32,
        max_concurrent_activities=STEP_THREADS,
        max_concurrent_local_activities=STEP_THREADS,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=timedelta(seconds=settings.drain_timeout),
    )


async def run(settings: Settings) -> None:
    """Poll until SIGTERM or SIGINT, then finish what was begun."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # A lazy client waits for Temporal to come up; workers need a connected one.
    waiting = await connect(settings, lazy=True, role="worker")
    preparing = asyncio.create_task(preparation.prepare(waiting, patience=300))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({preparing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not preparing.done():
        return
    preparing.result()
    client = await connect(settings, role="worker")
    workers = build_workers(client, settings)
    running = [asyncio.create_task(worker.run()) for worker in workers]
    log.info("worker_polling", roles=sorted(settings.roles), pid=os.getpid())
    await asyncio.wait({stopping, *running}, return_when=asyncio.FIRST_COMPLETED)
    log.info("worker_draining")
    await asyncio.gather(*(worker.shutdown() for worker in workers))
    for task in running:
        await task
    log.info("worker_stopped")
