"""Workflow histories as an outsider sees them, and as a key holder does."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload, SearchAttributes, WorkerVersionStamp
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import History, MarkerRecordedEventAttributes
from temporalio.client import WorkflowExecution

from tests.support.faults import Console
from tests.support.processes import Running
from votepyramid.engine.codec import ENCODING, PLACE

# What Temporal itself must be able to read of a workflow.
PLAIN_ATTRIBUTES = {"NeedsAttention", "ElectionId"}
LOCAL_ACTIVITY_NOTES = {
    "activation_index",
    "activity_id",
    "activity_type",
    "attempt",
    "backoff",
    "complete_time",
    "original_schedule_time",
    "seq",
}


def executions(console: Console, query: str | None = None) -> list[WorkflowExecution]:
    """Every workflow of the console's namespace."""

    async def listing() -> list[WorkflowExecution]:
        return [one async for one in console.client.list_workflows(query)]

    return console.run(listing())


def history(console: Console, execution: WorkflowExecution) -> History:
    """One execution's history, as stored."""
    handle = console.client.get_workflow_handle(execution.id, run_id=execution.run_id)
    return History(events=console.run(handle.fetch_history()).events)


def messages(message: Message, kind: type[Message]) -> Iterator[Any]:
    """All messages of a kind within a message."""
    if isinstance(message, kind):
        yield message
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        entry = field.message_type
        if entry.GetOptions().map_entry:
            if entry.fields_by_name["value"].type == FieldDescriptor.TYPE_MESSAGE:
                for one in value.values():
                    yield from messages(one, kind)
        elif field.is_repeated:
            for one in value:
                yield from messages(one, kind)
        else:
            yield from messages(value, kind)


def texts_of(
    console: Console, found: Iterable[WorkflowExecution]
) -> Iterator[tuple[str, str]]:
    """Histories and descriptions, raw and opened, each by name."""
    for one in found:
        raw = history(console, one)
        described = console.describe(one.id)
        yield f"{one.id} raw", raw_text(raw)
        yield f"{one.id} opened", opened_text(console, raw)
        yield f"{one.id} described", raw_text(described)
        yield f"{one.id} pending", opened_text(console, described)


def raw_text(message: Message) -> str:
    """What Temporal, its console and its database hold."""
    return str(MessageToJson(message, indent=None))


def opened_text(console: Console, message: Message) -> str:
    """What the sealed payloads within say, to whoever has the codec's keys."""
    codec = console.client.data_converter.payload_codec
    assert codec is not None
    sealed = [one for one in messages(message, Payload) if is_sealed(one)]
    opened = console.run(codec.decode(sealed))
    return "\n".join(one.data.decode() for one in opened)


def is_sealed(payload: Payload) -> bool:
    return payload.metadata.get("encoding") == ENCODING


def plain_by_design(message: Message) -> Iterator[Payload]:
    """Search attributes, which Temporal must read, and what the SDK's core notes of
    a local activity for itself: its number, type, attempt and times."""
    for found in messages(message, SearchAttributes):
        yield from found.indexed_fields.values()
    for marker in messages(message, MarkerRecordedEventAttributes):
        if marker.marker_name == "core_local_activity":
            for payload in marker.details["data"].payloads:
                assert set(json.loads(payload.data)) <= LOCAL_ACTIVITY_NOTES
                yield payload


def build_ids(message: Message) -> set[str]:
    """What the SDK calls the program that ran: the same in all workers."""
    return {stamp.build_id for stamp in messages(message, WorkerVersionStamp)}


def of_the_programs(console: Console, m: bytes, *programs: Running) -> set[str]:
    """Identifiers of the programs that run every workflow alike, and of the election.

    `programs` are the web processes and workers, m is the manifest's hash.
    """
    known = {m.hex(), PLACE}
    known |= {f"votepyramid-{one.name.split('-')[0]}-{one.pid}" for one in programs}
    for one in executions(console):
        for build in build_ids(history(console, one)):
            attribute = json.dumps(["unversioned", f"unversioned:{build}"])
            shown = base64.b64encode(attribute.replace(" ", "").encode()).decode()
            known |= {build, shown.rstrip("=")}
    return known


def unsealed(console: Console, execution: WorkflowExecution) -> list[Payload]:
    """What of an execution's payloads is not sealed and should be."""
    found = []
    for whole in (history(console, execution), console.describe(execution.id)):
        plain = [p.data for p in plain_by_design(whole)]
        for payload in messages(whole, Payload):
            if not is_sealed(payload) and payload.data not in plain:
                found.append(payload)
    return found


def attribute_names(console: Console, execution: WorkflowExecution) -> set[str]:
    """Search attributes that are not Temporal's own, and memo fields."""
    described = console.describe(execution.id).workflow_execution_info
    names = set(described.search_attributes.indexed_fields)
    return {n for n in names if not n.startswith("Build")} | set(described.memo.fields)


def failures(message: Message) -> Iterator[Failure]:
    yield from messages(message, Failure)
