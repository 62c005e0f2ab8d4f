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
from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.worker import (
    PollerBehaviorAutoscaling,
    UnsandboxedWorkflowRunner,
    Worker,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.audit import AuditSteps
from activities.closing import ClosingSteps
from activities.eligibility import EligibilitySteps
from activities.encryption import EncryptionSteps
from activities.exporting import BEAT_S, ExportSteps
from activities.keys import KeySteps
from activities.storage import StorageSteps
from activities.tokens import TokenSteps
from votepyramid.db import make_engine
from votepyramid.engine import attention, listing, preparation, upkeep
from votepyramid.engine.connection import connect, vital
from votepyramid.engine.measuring import MeasuredSteps
from votepyramid.keys import providers
from votepyramid.keys.service import ElectionKeys
from votepyramid.processes import before_leaving
from votepyramid.settings import ALONE, CLOSING, KEYS, Settings
from votepyramid.vitals.reporting import Reporter
from workflows.archive_histories import ArchiveHistories
from workflows.claim_tokens import ClaimToken, ClaimTokens
from workflows.close_election import CloseElection
from workflows.export_election import ExportElection, RemoveExport
from workflows.rewrap_keys import RewrapKeys
from workflows.submit_votes import SubmitVote, SubmitVotes

log = structlog.get_logger(__name__)

VOTE_WORKFLOWS = [SubmitVotes, SubmitVote]
CLAIM_WORKFLOWS = [ClaimTokens, ClaimToken]
KEY_WORKFLOWS = [RewrapKeys]
CLOSING_WORKFLOWS = [CloseElection]
EXPORT_WORKFLOWS = [ExportElection, RemoveExport]
UPKEEP_WORKFLOWS = [ArchiveHistories]
STEP_THREADS = 8


def build_workers(client: Client, settings: Settings, engine: Engine) -> list[Worker]:
    """The workers of this process's roles, not yet running."""
    provider = providers.make(settings)
    said: dict[str, Any] = {"roles": sorted(settings.roles)}
    if settings.roles == {KEYS}:
        Reporter(engine, "worker", lambda: said).start()
        current = providers.names(settings).current
        activities: list[Any] = [KeySteps(engine, provider, current).rewrap_batch]
        queue = settings.keys_task_queue
        return [_worker(client, settings, queue, KEY_WORKFLOWS, activities)]
    keys = ElectionKeys(provider, engine, settings.data_key_rows, settings.key_hold)
    before_leaving(keys.close)
    Reporter(engine, "worker", lambda: {**said, "keys": keys.state()}).start()
    if settings.roles & ALONE:
        return [_alone(client, settings, engine, keys)]
    steps = EligibilitySteps(engine)
    queue = settings.upkeep_task_queue
    kept = AuditSteps(engine, client, settings.keys_task_queue)
    workers = [
        _worker(client, settings, queue, UPKEEP_WORKFLOWS, [kept.archive_closed])
    ]
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


def _alone(
    client: Client, settings: Settings, engine: Engine, keys: ElectionKeys
) -> Worker:
    """That of a process which closes elections, or exports them, and nothing else."""
    if CLOSING in settings.roles:
        queue, closing = settings.closing_task_queue, ClosingSteps(engine, keys).all()
        return _worker(client, settings, queue, CLOSING_WORKFLOWS, closing)
    queue = settings.exporting_task_queue
    exporting = ExportSteps(engine, keys, settings).all()
    return _worker(client, settings, queue, EXPORT_WORKFLOWS, exporting, BEAT_S)


def _worker(
    client: Client,
    settings: Settings,
    task_queue: str,
    workflows: Sequence[type],
    activities: list[Any],
    beat: float = 60.0,
) -> Worker:
    """`beat` is how often, in seconds, Temporal is told how far a step is."""
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
        interceptors=[MeasuredSteps()],
        max_concurrent_workflow_tasks=32,
        max_concurrent_activities=STEP_THREADS,
        max_concurrent_local_activities=STEP_THREADS,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        max_heartbeat_throttle_interval=timedelta(seconds=beat),
        graceful_shutdown_timeout=timedelta(seconds=settings.drain_timeout),
    )


def _aside(
    client: Client, settings: Settings, engine: Engine
) -> list[asyncio.Task[None]]:
    """What goes on beside the steps, and never keeps a vote waiting."""
    if settings.roles & ALONE:
        return []
    scheduling = asyncio.create_task(upkeep.insist(client, settings))
    steps = AuditSteps(engine, client, settings.keys_task_queue)
    watching = asyncio.create_task(steps.watch(upkeep.interval(settings)))
    watching.add_done_callback(vital("watch over the archive"))
    # Of all lines: any worker that is left tells of all.
    queues, patient = listing.queues(settings), listing.patient_queues(settings)
    counting = asyncio.create_task(attention.watch(client, queues, patient))
    return [scheduling, watching, counting]


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
    engine = make_engine(
        settings.require("database_url"),
        pool_size=4 * STEP_THREADS,
        application_name="votepyramid-worker",
    )
    aside = _aside(client, settings, engine)
    workers = build_workers(client, settings, engine)
    running = [asyncio.create_task(worker.run()) for worker in workers]
    log.info("worker_polling", roles=sorted(settings.roles), pid=os.getpid())
    await asyncio.wait({stopping, *running}, return_when=asyncio.FIRST_COMPLETED)
    log.info("worker_draining")
    for task in aside:
        task.cancel()
    await asyncio.gather(*(worker.shutdown() for worker in workers))
    for task in running:
        await task
    log.info("worker_stopped")
