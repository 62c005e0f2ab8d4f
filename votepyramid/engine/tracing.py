"""A trace's way through Temporal: from who starts a workflow to each of its steps.

The SDK's own interceptor writes workflow ids into spans, and ours hold receipt hashes.
The place in the trace travels as a header beside the arguments, in the clear; histories
leave Temporal without it. A workflow only hands it on: it makes no span, which a replay
would make again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from temporalio import activity, client, worker
from temporalio.api.common.v1 import Payload

from votepyramid.observing import tracing

_Headers = Mapping[str, Payload]


class TracedEngine(client.Interceptor, worker.Interceptor):
    """For a client; a worker that is made with it has it, too."""

    def intercept_client(
        self, next: client.OutboundInterceptor
    ) -> client.OutboundInterceptor:
        return _Starting(super().intercept_client(next))

    def intercept_activity(
        self, next: worker.ActivityInboundInterceptor
    ) -> worker.ActivityInboundInterceptor:
        return _Step(super().intercept_activity(next))

    def workflow_interceptor_class(
        self, input: worker.WorkflowInterceptorClassInput
    ) -> type[worker.WorkflowInboundInterceptor] | None:
        return _Workflow


class _Starting(client.OutboundInterceptor):
    async def start_workflow(
        self, input: client.StartWorkflowInput
    ) -> client.WorkflowHandle[Any, Any]:
        text = tracing.header(tracing.here())
        if text is not None:
            payload = Payload(metadata={"encoding": b"plain/text"}, data=text.encode())
            input.headers = {**input.headers, tracing.HEADER: payload}
        return await super().start_workflow(input)


class _Step(worker.ActivityInboundInterceptor):
    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:
        info, payload = activity.info(), input.headers.get(tracing.HEADER)
        if payload is None:
            return await super().execute_activity(input)
        with tracing.span(
            info.activity_type,
            "CONSUMER",
            parent=tracing.read_header(payload.data.decode("ascii", "replace")),
            votepyramid__step=info.activity_type,
            votepyramid__step__attempt=info.attempt,
            votepyramid__step__how="local" if info.is_local else "regular",
        ):
            return await super().execute_activity(input)


class _Workflow(worker.WorkflowInboundInterceptor):
    """Keeps the header that the workflow was started with, for all that it starts."""

    def __init__(self, next: worker.WorkflowInboundInterceptor) -> None:
        super().__init__(next)
        self.headers: _Headers = {}

    def init(self, outbound: worker.WorkflowOutboundInterceptor) -> None:
        super().init(_HandingOn(outbound, self))

    async def execute_workflow(self, input: worker.ExecuteWorkflowInput) -> Any:
        if tracing.HEADER in input.headers:
            self.headers = {tracing.HEADER: input.headers[tracing.HEADER]}
        return await super().execute_workflow(input)


class _HandingOn(worker.WorkflowOutboundInterceptor):
    def __init__(
        self, next: worker.WorkflowOutboundInterceptor, inbound: _Workflow
    ) -> None:
        super().__init__(next)
        self._inbound = inbound

    def start_activity(self, input: worker.StartActivityInput) -> Any:
        input.headers = {**input.headers, **self._inbound.headers}
        return super().start_activity(input)

    def start_local_activity(self, input: worker.StartLocalActivityInput) -> Any:
        input.headers = {**input.headers, **self._inbound.headers}
        return super().start_local_activity(input)

    async def start_child_workflow(self, input: worker.StartChildWorkflowInput) -> Any:
        input.headers = {**input.headers, **self._inbound.headers}
        return await super().start_child_workflow(input)
