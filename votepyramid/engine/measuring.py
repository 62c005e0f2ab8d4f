"""What steps and workflows of a worker take, and calls to Temporal of any process.

Partly it is measured by us, partly by the SDK.

The SDK's own exporter would need a port of its own, and would name everything of
Temporal's. So its values go into a buffer, which a thread empties into our metrics.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.runtime import (
    MetricBuffer,
    MetricBufferDurationFormat,
    Runtime,
    TelemetryConfig,
)
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from votepyramid.engine import metrics

DRAIN_S = 1.0
# A busy worker makes some thousands a second.
BUFFER = 100_000
# A process with several loops connects from several threads.
_MAKING = threading.Lock()
# What a failed step may say of itself; see activities/faults.py.
_PROBLEMS = frozenset({"database", "kms", "temporal", "folder", "stopped", "engine"})


class MeasuredSteps(Interceptor):
    """Times every attempt at a step, and counts those that were not the first."""

    def intercept_activity(
        self, next: ActivityInboundInterceptor
    ) -> ActivityInboundInterceptor:
        return _Step(super().intercept_activity(next))


class _Step(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        labels = info.activity_type, "local" if info.is_local else "regular"
        if info.attempt > 1:
            metrics.STEP_REPEATS.labels(*labels).inc()
        began = time.perf_counter()
        try:
            return await super().execute_activity(input)
        except BaseException as error:
            metrics.STEP_FAILURES.labels(*labels, _problem(error)).inc()
            raise
        finally:
            metrics.STEP_SECONDS.labels(*labels).observe(time.perf_counter() - began)


def _problem(error: BaseException) -> str:
    kind = error.type if isinstance(error, ApplicationError) else None
    return kind if kind in _PROBLEMS else "other"


def not_connected() -> None:
    """Count a call that had no connection, as the SDK counts those that lost it."""
    metrics.TEMPORAL_FAILURES.labels("Connect", "TRANSPORT_ERROR").inc()


def runtime() -> Runtime:
    """The SDK's runtime of this process, its values flowing into our metrics."""
    with _MAKING:
        return _made()


@cache
def _made() -> Runtime:
    buffer = MetricBuffer(BUFFER, MetricBufferDurationFormat.SECONDS)
    made = Runtime(telemetry=TelemetryConfig(metrics=buffer))
    threading.Thread(
        target=_drain, args=(buffer,), name="sdk-metrics", daemon=True
    ).start()
    return made


def _drain(buffer: MetricBuffer) -> None:
    while True:
        time.sleep(DRAIN_S)
        for update in buffer.retrieve_updates():
            take = _TAKEN.get(update.metric.name)
            if take is not None:
                take(update.attributes, update.value)


_Attributes = Mapping[str, Any]
_Take = Callable[[_Attributes, float], None]


def _text(attributes: _Attributes, name: str) -> str:
    return str(attributes.get(name, ""))


def _ended(outcome: str) -> _Take:
    def take(attributes: _Attributes, value: float) -> None:
        name = _text(attributes, "workflow_type")
        metrics.WORKFLOWS.labels(name, outcome).inc(value)

    return take


def _workflow_seconds(attributes: _Attributes, value: float) -> None:
    name = _text(attributes, "workflow_type")
    metrics.WORKFLOW_SECONDS.labels(name).observe(value)


def _task_wait(attributes: _Attributes, value: float) -> None:
    name = _text(attributes, "workflow_type")
    metrics.WORKFLOW_TASK_WAIT.labels(name).observe(value)


def _task_failed(attributes: _Attributes, value: float) -> None:
    name, reason = (
        _text(attributes, one) for one in ("workflow_type", "failure_reason")
    )
    metrics.WORKFLOW_TASK_FAILURES.labels(name, reason).inc(value)


def _step_wait(attributes: _Attributes, value: float) -> None:
    metrics.STEP_WAIT.labels(_text(attributes, "activity_type")).observe(value)


def _slots(gauge: Any) -> _Take:
    def take(attributes: _Attributes, value: float) -> None:
        queue, kind = (_text(attributes, one) for one in ("task_queue", "worker_type"))
        gauge.labels(queue, kind).set(value)

    return take


def _request(attributes: _Attributes, value: float) -> None:
    metrics.TEMPORAL_SECONDS.labels(_text(attributes, "operation")).observe(value)


def _request_failed(attributes: _Attributes, value: float) -> None:
    operation, status = (_text(attributes, one) for one in ("operation", "status_code"))
    metrics.TEMPORAL_FAILURES.labels(operation, status).inc(value)


# Of the SDK's some forty: https://docs.temporal.io/references/sdk-metrics
_TAKEN: dict[str, _Take] = {
    "temporal_workflow_completed": _ended("completed"),
    "temporal_workflow_failed": _ended("failed"),
    "temporal_workflow_canceled": _ended("cancelled"),
    "temporal_workflow_endtoend_latency": _workflow_seconds,
    "temporal_workflow_task_schedule_to_start_latency": _task_wait,
    "temporal_workflow_task_execution_failed": _task_failed,
    "temporal_activity_schedule_to_start_latency": _step_wait,
    "temporal_worker_task_slots_used": _slots(metrics.SLOTS),
    "temporal_worker_task_slots_available": _slots(metrics.SLOTS_FREE),
    "temporal_request_latency": _request,
    "temporal_request_failure": _request_failed,
    "temporal_long_request_failure": _request_failed,
}
