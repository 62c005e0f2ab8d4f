"""The workflows that export an election and remove an export: starting and watching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from temporalio.client import Client
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from votepyramid.engine import timeline
from votepyramid.engine.control import Desk
from votepyramid.engine.listing import State
from workflows import messages as m
from workflows.attributes import ELECTION


@dataclass(frozen=True)
class Told:
    """What Temporal says of one of these workflows.

    While it runs: `begun` once a worker has taken it; `failure` is why the last attempt
    ended, in words, `progress` how far it was when it last said so.
    """

    running: bool = False
    needs_attention: bool = False
    begun: bool = False
    failure: str | None = None
    progress: m.ExportProgress | None = None


def start_or_join(desk: Desk, election: str) -> None:
    """Start the workflow, or have the one that runs look again. Raises TemporalAway."""
    asked = m.ExportElectionInput(election)
    # One that is about to end must not miss what was asked for just now.
    more = {"start_signal": m.LOOK_AGAIN}
    _start(desk, m.EXPORT_ELECTION, m.exporting(election), election, asked, more)


def remove(desk: Desk, election: str, export: str) -> None:
    """Start the workflow that deletes an export's files. Raises TemporalAway."""
    _start(desk, m.REMOVE_EXPORT, m.removing(export), election, export, {})


def told(desk: Desk, workflow_id: str) -> Told:
    """How it is with a workflow of that id.

    Raises TemporalAway, and KeyProviderError when the codec's keys do not open it.
    """
    work = timeline.describe(desk, workflow_id)
    if work is None or work.state is not State.RUNNING:
        return Told()
    step = next((one for one in reversed(work.steps) if one.pending), None)
    if step is None:
        return Told(True, work.needs_attention, bool(work.steps))
    begun = step.attempts > 0
    return Told(True, work.needs_attention, begun, step.failure, step.progress)


def _start(
    desk: Desk,
    kind: str,
    workflow_id: str,
    election: str,
    asked: Any,
    more: dict[str, Any],
) -> None:
    """One that has ended does not stand in the way: each step finds what is done."""

    async def start(client: Client) -> None:
        await client.start_workflow(
            kind,
            asked,
            id=workflow_id,
            task_queue=desk.settings.exporting_task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            task_timeout=m.TASK_TIMEOUT,
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(ELECTION, election)]
            ),
            **more,
        )

    desk.ask(start)
