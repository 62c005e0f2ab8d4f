"""One workflow as its steps, read out of its history and its pending activities.

A local activity leaves its mark when it is over, and not before: while the first
steps of a group retry there is nothing to see yet, for a second and a half at most.
The mark's times are the workflow's clock; a step began when the one before it ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import (
    EventType,
    PendingActivityState,
    WorkflowTaskFailedCause,
)
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.converter import DataConverter
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    TimeoutError,
)
from temporalio.service import RPCError, RPCStatusCode

from votepyramid.engine.control import Desk
from votepyramid.engine.histories import LOCAL_ACTIVITY
from votepyramid.engine.listing import State, queues
from votepyramid.settings import Settings
from workflows import messages as m
from workflows.attributes import ATTENTION, ELECTION

# No such workflow, or what cannot be the id of a run.
_NONE = (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT)
_EVENT = "EVENT_TYPE_"
_ACTIVITY_ENDS = {
    "ACTIVITY_TASK_COMPLETED": "done",
    "ACTIVITY_TASK_FAILED": "failed",
    "ACTIVITY_TASK_TIMED_OUT": "failed",
    "ACTIVITY_TASK_CANCELED": "canceled",
}
_PENDING = {
    "SCHEDULED": "waiting",
    "STARTED": "running",
    "CANCEL_REQUESTED": "canceling",
    "PAUSED": "paused",
    "PAUSE_REQUESTED": "pausing",
}
_RESET = "WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW"
# What a step says of itself when it fails; see activities/faults.py.
_PARTS = {
    "database": "the database refused or did not answer",
    "kms": "the key provider refused or did not answer",
    "temporal": "Temporal refused or did not answer",
    "folder": "the folder of exports cannot be used",
    "stopped": "it was stopped, and another one goes on",
    "engine": "a fault of the engine or of the data",
}
_TASK_FAULTS = {
    "WORKFLOW_TASK_FAILED": "it was given up",
    "WORKFLOW_TASK_TIMED_OUT": "the worker that had the workflow is gone, or too slow",
}


@dataclass(frozen=True)
class Step:
    """One step, or one try of the workflow's code that failed.

    `state` is done, failed, canceled, waiting (for a worker or the next try), running,
    canceling, paused or pausing. `attempts` counts those begun. `failure` is the last
    one in words; it holds no voter's data. `begins_at` is the event that a reset to
    before the step goes back to, None when there is none yet. `progress` is how far a
    long one was when it last said so.
    """

    name: str
    state: str
    local: bool
    attempts: int
    began_at: datetime
    ended_at: datetime | None = None
    failure: str | None = None
    next_try_at: datetime | None = None
    activity_id: str = ""
    begins_at: int | None = None
    progress: m.ExportProgress | None = None

    @property
    def pending(self) -> bool:
        """True for one that Temporal tries again: it can be hurried and paused."""
        return not self.local and self.ended_at is None

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it goes on."""
        if self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.began_at).total_seconds())


@dataclass(frozen=True)
class Work:
    """One run of a workflow.

    `came_from` is the group that it was in, `went_on` are the workflows of those that
    it left to go on alone, `end` says how it ended, `link` leads to the same run in
    the web console. `votes` are the receipt hashes in it, `voters` the roster
    references in it, for counting alone.
    """

    workflow_id: str
    run_id: str
    kind: str
    election: str | None
    state: State
    needs_attention: bool
    started_at: datetime
    closed_at: datetime | None
    came_from: str | None
    went_on: tuple[str, ...]
    steps: tuple[Step, ...]
    end: str | None
    link: str | None
    votes: tuple[str, ...] = ()
    voters: tuple[str, ...] = field(default=(), repr=False)


def describe(desk: Desk, workflow_id: str, run_id: str | None = None) -> Work | None:
    """A workflow, by default its latest run; None when Temporal has none of that id.

    Raises TemporalAway, and KeyProviderError when the codec's keys do not open it.
    """

    async def ask(client: Client) -> Work | None:
        handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        try:
            found = await handle.describe()
            if found.task_queue not in queues(desk.settings):
                # Another installation's in the same namespace.
                return None
            # Of the same run: the id may have begun anew in between.
            same = client.get_workflow_handle(workflow_id, run_id=found.run_id)
            events = (await same.fetch_history()).events
        except RPCError as error:
            if error.status in _NONE:
                return None
            raise
        return await _work(desk.settings, client, found, events)

    return desk.ask(ask)


async def _work(
    settings: Settings,
    client: Client,
    found: WorkflowExecutionDescription,
    events: Iterable[HistoryEvent],
) -> Work:
    reader = _Reader(found.data_converter)
    for event in events:
        await reader.take(event)
    for pending in found.raw_description.pending_activities:
        await reader.pend(pending)
    attributes = found.typed_search_attributes
    state = State(found.status.name.lower()) if found.status else State.RUNNING
    return Work(
        workflow_id=found.id,
        run_id=found.run_id,
        kind=found.workflow_type,
        election=attributes.get(ELECTION),
        state=state,
        needs_attention=state is State.RUNNING and bool(attributes.get(ATTENTION)),
        started_at=found.start_time,
        closed_at=found.close_time,
        came_from=found.parent_id,
        went_on=tuple(reader.went_on),
        steps=tuple(reader.steps),
        end=reader.end,
        link=_link(settings, client, found),
        votes=reader.votes,
        voters=reader.voters,
    )


def _link(
    settings: Settings, client: Client, found: WorkflowExecutionDescription
) -> str | None:
    """The run's page in the web console, when the settings say where that is."""
    if not settings.codec_origin:
        return None
    parts = (client.namespace, "workflows", found.id, found.run_id, "history")
    path = "/".join(quote(part, safe="") for part in parts)
    return f"{settings.codec_origin.rstrip('/')}/namespaces/{path}"


class _Reader:
    """Takes a history's events in order; `steps` stand in the order they began."""

    def __init__(self, converter: DataConverter) -> None:
        self._converter = converter
        self.steps: list[Step] = []
        self.went_on: list[str] = []
        self.end: str | None = None
        self.votes: tuple[str, ...] = ()
        self.voters: tuple[str, ...] = ()
        # Places in `steps`, by the event that scheduled it and by the activity's id.
        self._scheduled: dict[int, int] = {}
        self._activities: dict[str, int] = {}
        # When the next local activity can have begun.
        self._free = datetime.fromtimestamp(0, UTC)

    async def take(self, event: HistoryEvent) -> None:
        kind = EventType.Name(event.event_type).removeprefix(_EVENT)
        which = event.WhichOneof("attributes")
        attributes: Any = getattr(event, which) if which else None
        at = _time(event.event_time)
        if kind == "WORKFLOW_EXECUTION_STARTED":
            await self._contents(attributes)
        elif kind == "WORKFLOW_TASK_STARTED":
            self._free = max(self._free, at)
        elif kind in _TASK_FAULTS:
            self._fault(kind, attributes, at)
        elif kind == "MARKER_RECORDED" and attributes.marker_name == LOCAL_ACTIVITY:
            await self._local(attributes)
        elif kind == "ACTIVITY_TASK_SCHEDULED":
            self._begin(event.event_id, attributes, at)
        elif kind == "ACTIVITY_TASK_STARTED":
            await self._started(attributes)
        elif kind in _ACTIVITY_ENDS:
            await self._ended(_ACTIVITY_ENDS[kind], attributes, at)
        elif kind == "CHILD_WORKFLOW_EXECUTION_STARTED":
            self.went_on.append(attributes.workflow_execution.workflow_id)
        elif kind.startswith("WORKFLOW_EXECUTION_"):
            await self._closed(kind.removeprefix("WORKFLOW_EXECUTION_"), attributes)

    async def pend(self, pending: PendingActivityInfo) -> None:
        """What the server knows of an activity that is not over."""
        place = self._activities.get(pending.activity_id)
        if place is None:
            # Scheduled after the history was read.
            return
        name = PendingActivityState.Name(pending.state)
        state = _PENDING.get(name.removeprefix("PENDING_ACTIVITY_STATE_"), "waiting")
        begun = pending.attempt - (state == "waiting" and pending.attempt > 0)
        failed = pending.HasField("last_failure")
        due = pending.HasField("next_attempt_schedule_time") and state == "waiting"
        self.steps[place] = replace(
            self.steps[place],
            state=state,
            attempts=begun,
            failure=await self._words(pending.last_failure) if failed else None,
            next_try_at=_time(pending.next_attempt_schedule_time) if due else None,
            progress=await self._progress(pending),
        )

    async def _progress(self, pending: PendingActivityInfo) -> m.ExportProgress | None:
        said = pending.heartbeat_details.payloads
        if pending.activity_type.name != m.WRITE_EXPORT or not said:
            return None
        (told,) = await self._converter.decode(said, [m.ExportProgress])
        progress: m.ExportProgress = told
        return progress

    async def _contents(self, started: Any) -> None:
        """The receipt hashes, or the roster references, that it was started with."""
        kind = started.workflow_type.name
        if kind in (m.SUBMIT_VOTES, m.SUBMIT_VOTE):
            votes = await self._input(started, m.SubmitVotesInput)
            self.votes = tuple(vote.receipt_hash for vote in votes.votes)
        elif kind in (m.CLAIM_TOKENS, m.CLAIM_TOKEN):
            claims = await self._input(started, m.ClaimTokensInput)
            self.voters = tuple(c.voter for c in claims.claims if c.voter is not None)

    async def _input(self, started: Any, message: type[Any]) -> Any:
        return (await self._converter.decode(started.input.payloads, [message]))[0]

    def _fault(self, kind: str, attributes: Any, at: datetime) -> None:
        said = _TASK_FAULTS[kind]
        if kind == "WORKFLOW_TASK_FAILED":
            cause = WorkflowTaskFailedCause.Name(attributes.cause)
            if cause == _RESET:
                # No fault: an operator cut the run here, and began this one.
                self._free = at
                return
            words = cause.removeprefix("WORKFLOW_TASK_FAILED_CAUSE_").lower()
            said = f"{said}: {words.replace('_', ' ')}"
        self.steps.append(Step("workflow task", "failed", True, 1, at, at, said))

    async def _local(self, marker: Any) -> None:
        (noted,) = marker.details["data"].payloads
        data = json.loads(noted.data)
        done = data["complete_time"]
        ended = _time(Timestamp(seconds=done["seconds"], nanos=done["nanos"]))
        failed = marker.HasField("failure")
        self.steps.append(
            Step(
                name=data["activity_type"],
                state="failed" if failed else "done",
                local=True,
                attempts=data["attempt"],
                began_at=min(self._free, ended),
                ended_at=ended,
                failure=await self._words(marker.failure) if failed else None,
                begins_at=marker.workflow_task_completed_event_id,
            )
        )
        self._free = ended

    def _begin(self, event_id: int, scheduled: Any, at: datetime) -> None:
        place = len(self.steps)
        self._scheduled[event_id] = self._activities[scheduled.activity_id] = place
        self.steps.append(
            Step(
                name=scheduled.activity_type.name,
                state="waiting",
                local=False,
                attempts=0,
                began_at=at,
                activity_id=scheduled.activity_id,
                begins_at=scheduled.workflow_task_completed_event_id,
            )
        )

    async def _started(self, started: Any) -> None:
        """Written with the end, when the server is asked no more about it."""
        place = self._scheduled[started.scheduled_event_id]
        failed = started.HasField("last_failure")
        self.steps[place] = replace(
            self.steps[place],
            state="running",
            attempts=started.attempt,
            failure=await self._words(started.last_failure) if failed else None,
        )

    async def _ended(self, state: str, attributes: Any, at: datetime) -> None:
        place = self._scheduled[attributes.scheduled_event_id]
        step = replace(self.steps[place], state=state, ended_at=at)
        if state == "failed" and attributes.HasField("failure"):
            step = replace(step, failure=await self._words(attributes.failure))
        self.steps[place] = step
        self._free = at

    async def _closed(self, how: str, attributes: Any) -> None:
        if how == "TERMINATED":
            reason = f": {attributes.reason}" if attributes.reason else ""
            self.end = f"terminated by {attributes.identity or 'somebody'}{reason}"
        elif how == "FAILED":
            self.end = f"failed: {await self._words(attributes.failure)}"
        elif how in ("COMPLETED", "CANCELED", "TIMED_OUT", "CONTINUED_AS_NEW"):
            self.end = how.lower().replace("_", " ")

    async def _words(self, failure: Failure) -> str:
        copy = Failure()
        copy.CopyFrom(failure)
        return in_words(await self._converter.decode_failure(copy))


def in_words(error: BaseException) -> str:
    """A step's failure for a person. Steps fail with words of ours and no data."""
    if isinstance(error, ActivityError) and error.cause is not None:
        return in_words(error.cause)
    if isinstance(error, TimeoutError):
        return "the attempt did not answer in time; what it did may still be committed"
    if isinstance(error, CancelledError):
        return "it was canceled"
    if isinstance(error, ApplicationError):
        kind, _, said = error.message.partition(": ")
        if kind in _PARTS:
            return f"{_PARTS[kind]}: {said}"
        # Not a step's: its kind alone, its words could be anybody's.
        return error.type or "ApplicationError"
    return type(error).__name__


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(UTC)
