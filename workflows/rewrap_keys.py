"""RewrapKeys: every wrapped key under the current key-encryption key, batch by batch.

One at a time for each task queue, by its workflow id. What a batch did is committed
with it, so a batch that runs again finds nothing left to do.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ApplicationError,
    FailureError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from workflows import messages as m
    from workflows.steps import PATIENT_RETRIES, flag, unflag

# A batch beats after each answer of the KMS, which takes ten seconds at most.
HEARTBEAT = timedelta(seconds=15)
BATCH_TIMEOUT = timedelta(minutes=2)
FIRST_TRIES = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    backoff_coefficient=2,
    maximum_attempts=4,
)
EXAMPLES = 20


@workflow.defn(name=m.REWRAP_KEYS)
class RewrapKeys:
    """Ends when each key was tried once. Fails only with OTHER_KEK."""

    @workflow.init
    def __init__(self, asked: m.RewrapKeysInput) -> None:
        self._progress = asked.so_far or m.RewrapProgress(asked.target)

    @workflow.query(name=m.PROGRESS)
    def progress(self) -> m.RewrapProgress:
        return self._progress

    @workflow.run
    async def run(self, asked: m.RewrapKeysInput) -> m.RewrapProgress:
        after = asked.after
        for _ in range(asked.batches):
            batch = await _batch(
                m.RewrapBatchInput(asked.target, asked.everything, asked.size, after)
            )
            after = batch.after
            self._add(batch)
            if not batch.left:
                return self._progress
        workflow.continue_as_new(
            m.RewrapKeysInput(
                asked.target,
                asked.everything,
                asked.size,
                asked.batches,
                after,
                self._progress,
            )
        )

    def _add(self, batch: m.RewrapBatch) -> None:
        so_far = self._progress
        self._progress = m.RewrapProgress(
            target=so_far.target,
            rewrapped=so_far.rewrapped + batch.rewrapped,
            failed=so_far.failed + len(batch.failed),
            left=batch.left,
            examples=[*so_far.examples, *batch.failed][:EXAMPLES],
        )


async def _batch(asked: m.RewrapBatchInput) -> m.RewrapBatch:
    """A batch, until it succeeds; flagged when it does not at first."""
    try:
        return await _activity(asked, FIRST_TRIES)
    except FailureError as error:
        cause = error.cause
        hopeless = isinstance(cause, ApplicationError) and cause.non_retryable
        if hopeless or is_cancelled_exception(error):
            raise
    flag(m.REWRAP_BATCH)
    batch = await _activity(asked, PATIENT_RETRIES)
    unflag()
    return batch


async def _activity(asked: m.RewrapBatchInput, retries: RetryPolicy) -> m.RewrapBatch:
    batch: m.RewrapBatch = await workflow.execute_activity(
        m.REWRAP_BATCH,
        asked,
        result_type=m.RewrapBatch,
        start_to_close_timeout=BATCH_TIMEOUT,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=retries,
    )
    return batch
