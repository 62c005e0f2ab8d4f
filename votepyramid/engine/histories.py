"""Workflow histories for auditors: fetched, made coarse, and opened.

A history says when each step was done, to the microsecond, and numbers its events as
Temporal's shard counted them. Side by side, the histories of claims and of casts would
tell by their times whose ballot is whose. So what leaves Temporal has the hour of its
beginning for all its times: two hours would say that it passed from one into the other.
Its counters and process names are taken out; what was done, in which order within one
workflow, and with what outcome stays. The workflow code replays such a history as it
replays the original.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Header, Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History, MarkerRecordedEventAttributes
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.converter import PayloadCodec
from temporalio.service import RPCError, RPCStatusCode

from votepyramid.engine.codec import ENCODING, data_converter
from votepyramid.protocol.encoding import H, ProtocolError, check_id, v8
from votepyramid.settings import Settings
from workflows.attributes import ELECTION
from workflows.messages import (
    EXPORT_ELECTION,
    REMOVE_EXPORT,
    REWRAP_KEYS,
    rewrapping,
)

HOUR = 3600
PAGE = 1000
AT_ONCE = 16
# What the SDK's core notes of a local activity, and must be able to read itself.
LOCAL_ACTIVITY = "core_local_activity"
EVENT_TYPES = frozenset(EventType.keys())
# Of the last event of a closed workflow.
ENDS = frozenset(
    f"EVENT_TYPE_WORKFLOW_EXECUTION_{how}"
    for how in (
        "COMPLETED",
        "FAILED",
        "TIMED_OUT",
        "CANCELED",
        "TERMINATED",
        "CONTINUED_AS_NEW",
    )
)
# Of a closing, which goes its way without: numbers of votes, and a time.
_ABOUT_WAITING = {"waiting_for": "", "since": None}
_COPYING = f"'{EXPORT_ELECTION}', '{REMOVE_EXPORT}'"
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


Wanted = Callable[["Execution"], bool]
Take = Callable[["Execution", bytes], None]


@dataclass(frozen=True)
class Execution:
    """One run of a workflow. A closed one's history grows no more."""

    workflow_id: str
    run_id: str
    closed: bool

    @property
    def name(self) -> str:
        """What a run is called outside Temporal, where its id would tell its time."""
        return timeless(self.run_id)


def of_election(election: str) -> str:
    """The list filter of every workflow that was started for an election."""
    return f"{ELECTION.name} = '{check_id(election)}'"


def to_export(election: str) -> str:
    """That of those which an export has: none that only copies what there is."""
    return f"{of_election(election)} AND WorkflowType NOT IN ({_COPYING})"


def of_keys(queue: str) -> str:
    """That of the workflows which rewrap keys, those of all elections."""
    name = rewrapping(queue).replace("'", "''")
    return f"WorkflowType = '{REWRAP_KEYS}' AND WorkflowId = '{name}'"


async def executions(
    client: Client, query: str, page: int = PAGE
) -> AsyncIterator[Execution]:
    """Every workflow that a list filter finds and Temporal still knows.

    It lists `page` of them at a time. Raises RPCError.
    """
    async for one in client.list_workflows(query, page_size=page):
        closed = one.status is not WorkflowExecutionStatus.RUNNING
        yield Execution(one.id, one.run_id, closed)


async def batches(
    client: Client, query: str, page: int = PAGE
) -> AsyncIterator[list[Execution]]:
    """The same, as many at a time as may be fetched at once."""
    batch: list[Execution] = []
    async for one in executions(client, query, page):
        batch.append(one)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


async def gather(
    client: Client, query: str, page: int, wanted: Wanted, take: Take
) -> AsyncIterator[int]:
    """Hand every history that is found and wanted to `take`, open, as its document.

    One that the retention takes meanwhile is passed over: the archive has it. Yields
    how many workflows were looked at since. Raises RPCError, and KeyProviderError for
    one that no key of the ring opens.
    """
    codec = client.data_converter.payload_codec
    async for some in batches(client, query, page):
        asked = [one for one in some if wanted(one)]
        for one, history in await fetch_all(client, asked):
            if codec is not None:
                await reveal(history, codec)
            now = replace(one, closed=one.closed or _has_ended(history))
            take(now, document(now, history))
        yield len(some)


def opener(settings: Settings) -> Callable[[Execution, bytes], bytes]:
    """What makes documents of histories that were kept sealed.

    Raises KeyProviderError, then and now, and ProtocolError naming the run.
    """
    codec = data_converter(settings.require("codec_keys_file")).payload_codec

    def opened(one: Execution, kept: bytes) -> bytes:
        try:
            history = History.FromString(kept)
            # One that was kept when each time had an hour of its own.
            coarsen(history)
            if codec is not None:
                asyncio.run(reveal(history, codec))
        except (DecodeError, ProtocolError):
            # By its run alone: a claim's workflow id holds a pseudonym.
            raise ProtocolError(
                f"the archived history of run {one.run_id} is none: look into the row "
                "of archived_histories, and remove it if Temporal still has the run"
            ) from None
        return document(one, history)

    return opened


async def fetch_all(
    client: Client, some: Sequence[Execution]
) -> list[tuple[Execution, History]]:
    """Their histories, but of those that Temporal forgot since it listed them.

    Raises RPCError.
    """
    found = await asyncio.gather(*(_fetch_if_there(client, one) for one in some))
    return [
        (one, history)
        for one, history in zip(some, found, strict=True)
        if history is not None
    ]


async def _fetch_if_there(client: Client, one: Execution) -> History | None:
    try:
        return await fetch(client, one)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return None


async def fetch(client: Client, one: Execution) -> History:
    """A history, coarse and still sealed. Raises RPCError."""
    handle = client.get_workflow_handle(one.workflow_id, run_id=one.run_id)
    history = History(events=(await handle.fetch_history()).events)
    coarsen(history)
    return history


def coarsen(history: History) -> None:
    """Take out of a history, in place, what would order it among all others."""
    hour = _hour(history)
    for event in history.events:
        event.task_id = 0
    for message in messages(history, Message):
        if isinstance(message, Timestamp):
            message.seconds, message.nanos = hour, 0
            continue
        if isinstance(message, Header):
            # The place in a trace, which has its time.
            message.ClearField("fields")
        _anonymous(message)
        if (
            isinstance(message, MarkerRecordedEventAttributes)
            and message.marker_name == LOCAL_ACTIVITY
        ):
            for payload in message.details["data"].payloads:
                payload.data = _rewritten(payload.data, _coarse_marker, hour)


def timeless(text: str) -> str:
    """Another UUID for one that begins with a time (version 7), else the same text.

    Temporal's run ids are such. The same one becomes the same everywhere; its 74 random
    bits keep anybody from trying times.
    """
    if not _UUID7.fullmatch(text):
        return text
    return str(v8(H("evote/run-id/v1", text)[:16]))


async def reveal(history: History, codec: PayloadCodec) -> None:
    """Open every sealed payload of a coarse history in place.

    Sealed ballots within stay sealed: their key is the trustees'. Raises
    KeyProviderError for a payload that no key of the ring opens.
    """
    arrived = datetime.fromtimestamp(_hour(history), UTC).isoformat()
    sealed = [p for p in messages(history, Payload) if _is_sealed(p)]
    for payload, opened in zip(sealed, await codec.decode(sealed), strict=True):
        payload.CopyFrom(opened)
        if payload.metadata.get("encoding") == b"json/plain":
            payload.data = _rewritten(payload.data, _coarse_message, arrived)


def document(one: Execution, history: History) -> bytes:
    """A history's file: JSON, the events in Temporal's own JSON form."""
    events: Any = MessageToDict(history)
    text = json.dumps(
        {
            "workflow_id": one.workflow_id,
            "run_id": one.name,
            "closed": one.closed,
            "history": events,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return text.encode()


def messages(message: Message, kind: type[Message]) -> Iterator[Any]:
    """All messages of a kind within a message, itself included."""
    if isinstance(message, kind):
        yield message
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        for one in _values(field, value):
            yield from messages(one, kind)


def _has_ended(history: History) -> bool:
    """Whether its last event is an end: a list of workflows is behind at times."""
    last = history.events[-1:]
    return any(EventType.Name(event.event_type) in ENDS for event in last)


def _is_sealed(payload: Payload) -> bool:
    return payload.metadata.get("encoding") == ENCODING


def _hour(history: History) -> int:
    """The beginning of the hour in which it began, in seconds since 1970."""
    begun = history.events[0].event_time.seconds if history.events else 0
    return begun - begun % HOUR


def _rewritten(data: bytes, change: Any, time: Any) -> bytes:
    try:
        value = json.loads(data)
    except ValueError:
        raise ProtocolError("a payload that is said to be JSON is not") from None
    changed = change(value, time)
    return json.dumps(changed, separators=(",", ":"), ensure_ascii=False).encode()


def _coarse_message(value: Any, arrived: str) -> Any:
    """A message of ours, with that for every arrival in it.

    Of a closing: without how many waited when it looked, and until which hour alone.
    """
    if isinstance(value, list):
        return [_coarse_message(one, arrived) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: _coarse_member(name, one, arrived) for name, one in value.items()}


def _coarse_member(name: str, value: Any, arrived: str) -> Any:
    if name in _ABOUT_WAITING:
        return _ABOUT_WAITING[name]
    if not isinstance(value, str):
        return _coarse_message(value, arrived)
    if name == "arrived_at":
        return arrived
    if name == "until":
        at = datetime.fromisoformat(value)
        return at.replace(minute=0, second=0, microsecond=0).isoformat()
    return value


def _coarse_marker(value: Any, hour: int) -> Any:
    """What core notes, with that for each of its times; a pause is no time."""
    if not isinstance(value, dict):
        return value
    return {
        name: {"seconds": hour, "nanos": 0}
        if name.endswith("_time") and one is not None
        else _coarse_marker(one, hour)
        for name, one in value.items()
    }


def _anonymous(message: Message) -> None:
    """Take out who worked on it and when it was made, as far as text says so."""
    for field, value in message.ListFields():
        if field.name == "identity":
            # The program's pid.
            message.ClearField("identity")
        elif field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
            setattr(message, field.name, timeless(value))
    normal = getattr(message, "normal_name", "")
    if normal:
        # A process's own queue is named by its pid and host.
        message.name = normal  # type: ignore[attr-defined]


def _values(field: Any, value: Any) -> Iterator[Message]:
    entry = field.message_type
    if entry.GetOptions().map_entry:
        if entry.fields_by_name["value"].type == FieldDescriptor.TYPE_MESSAGE:
            yield from value.values()
    elif field.is_repeated:
        yield from value
    else:
        yield value
