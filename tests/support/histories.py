"""Workflow histories as an outsider sees them, and as a key holder does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload, SearchAttributes, WorkerVersionStamp
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import History, MarkerRecordedEventAttributes
from temporalio.client import WorkflowExecution

from tests.support.faults import Console
from votepyramid.engine.codec import ENCODING

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


def failures(message: Message) -> Iterator[Failure]:
    yield from messages(message, Failure)
