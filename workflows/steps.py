"""One step of a group: a local activity while all is well, a regular one when not.

Local activities cost a fraction of regular ones but cannot be seen, paused or reset
while they retry. So a step that still fails after a second and a half is handed to
a regular activity that retries without limit, and the workflow says that it needs
attention until that succeeds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError, is_cancelled_exception

from workflows.attributes import ATTENTION, STUCK_STEP
from workflows.messages import ATTEMPT_TIMEOUT

T = TypeVar("T")

# Bounded by attempts: a schedule-to-close timeout is not kept while a local
# activity retries. 0.2 + 0.4 + 0.8 s of waiting.
LOCAL_RETRIES = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2,
    maximum_attempts=4,
)
PATIENT_RETRIES = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    backoff_coefficient=2,
    maximum_interval=timedelta(seconds=10),
    maximum_attempts=0,
)


async def run_step(name: str, argument: Any, result_type: type[T]) -> T:
    """Run a step until it succeeds. Only cancellation ends it early."""
    try:
        result: T = await workflow.execute_local_activity(
            name,
            argument,
            result_type=result_type,
            start_to_close_timeout=ATTEMPT_TIMEOUT,
            retry_policy=LOCAL_RETRIES,
        )
        return result
    except FailureError as error:
        if is_cancelled_exception(error):
            raise
    return await run_patient_step(name, argument, result_type)


async def run_patient_step(name: str, argument: Any, result_type: type[T]) -> T:
    """Run a step as a regular activity, flagged until it has succeeded.

    The flag goes up before the first attempt: an attempt that hangs or a worker
    that is gone must show as well.
    """
    flag(name)
    result: T = await workflow.execute_activity(
        name,
        argument,
        result_type=result_type,
        start_to_close_timeout=ATTEMPT_TIMEOUT,
        retry_policy=PATIENT_RETRIES,
    )
    unflag()
    return result


def flag(step: str) -> None:
    """Say that the workflow needs attention at a step."""
    workflow.upsert_search_attributes(
        [ATTENTION.value_set(True), STUCK_STEP.value_set(step)]
    )


def unflag() -> None:
    """Say that it gets on again."""
    workflow.upsert_search_attributes(
        [ATTENTION.value_set(False), STUCK_STEP.value_unset()]
    )
