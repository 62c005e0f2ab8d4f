"""Exported histories run again through the workflow code, without any server.

A history that this code would not have made fails: an event that was slipped in, a
step left out, an outcome for a step that never ran (Temporal's Replayer). Needs no
key: exported histories are open.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable
from typing import Any

from temporalio.client import WorkflowHistory
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
)
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from votepyramid.engine.converter import Messages
from workflows.claim_tokens import ClaimToken, ClaimTokens
from workflows.close_election import CloseElection
from workflows.rewrap_keys import RewrapKeys
from workflows.submit_votes import SubmitVote, SubmitVotes

WORKFLOWS = [
    SubmitVotes,
    SubmitVote,
    ClaimTokens,
    ClaimToken,
    CloseElection,
    RewrapKeys,
]


def replay(documents: Iterable[dict[str, Any]]) -> dict[str, str]:
    """What does not replay, by workflow id, each with what the code did instead.

    `documents` are those that `histories.document` wrote, parsed.
    """
    return asyncio.run(_replay(documents))


async def _replay(documents: Iterable[dict[str, Any]]) -> dict[str, str]:
    replayer = Replayer(
        workflows=WORKFLOWS,
        data_converter=dataclasses.replace(
            DataConverter.default,
            payload_converter_class=Messages,
            failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
        ),
        workflow_runner=UnsandboxedWorkflowRunner(),
        # What fails is returned; the SDK would also write it to standard output.
        runtime=Runtime(telemetry=TelemetryConfig(logging=None)),
    )
    failed: dict[str, str] = {}
    async with replayer.workflow_replay_iterator(_histories(documents)) as results:
        async for result in results:
            if result.replay_failure is not None:
                failed[result.history.workflow_id] = str(result.replay_failure)
    return failed


async def _histories(
    documents: Iterable[dict[str, Any]],
) -> AsyncIterator[WorkflowHistory]:
    for one in documents:
        yield WorkflowHistory.from_json(one["workflow_id"], one["history"])
