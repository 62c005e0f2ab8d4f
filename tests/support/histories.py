"""Workflow histories as an outsider sees them, and as a key holder does."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload, SearchAttributes, WorkerVersionStamp
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import History, MarkerRecordedEventAttributes
from temporalio.client import WorkflowExecution

from tests.support.faults import Console
from tests.support.processes import Running
from votepyramid.engine.codec import ENCODING, PLACE
from votepyramid.engine.histories import messages
from workflows import close_election

# What Temporal itself must be able to read of a workflow.
PLAIN_ATTRIBUTES = {"NeedsAttention", "StuckStep", "ElectionId"}
# What our workflows call changes of their code.
PATCHES = {close_election.BY_PAUSES}
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


def texts_of(
    console: Console, found: Iterable[WorkflowExecution]
) -> Iterator[tuple[str, str]]:
    """Histories and descriptions, raw and opened, each by name."""
    for one in found:
        raw = history(console, one)
        described = console.describe(one.id)
        yield f"{one.id} raw", raw_text(raw)
        yield f"{one.id} bytes", raw.SerializeToString().decode("latin-1")
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
    """Search attributes, which Temporal must read, and what the SDK's core notes for
    itself: of a local activity its number, type, attempt and times, of a change in the
    workflow's code its name."""
    for found in messages(message, SearchAttributes):
        yield from found.indexed_fields.values()
    for marker in messages(message, MarkerRecordedEventAttributes):
        if marker.marker_name == "core_local_activity":
            for payload in marker.details["data"].payloads:
                assert set(json.loads(payload.data)) <= LOCAL_ACTIVITY_NOTES
                yield payload
        if marker.marker_name == "core_patch":
            for payload in marker.details["patch-data"].payloads:
                assert json.loads(payload.data)["id"] in PATCHES
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


def of_both(
    console: Console,
    env: Mapping[str, str],
    elections: Iterable[str],
    m: bytes,
    *programs: Running,
) -> set[str]:
    """What names no voter, token or vote, and so may stand in both; in lower case."""
    # Processes and the build that both kinds of work run on; the manifest's hash.
    known = of_the_programs(console, m, *programs)
    for election in elections:
        # A search attribute of both, so that an operator finds an election's work.
        known |= {election, _base64(json.dumps(election))}
    # Every payload's and search attribute's own description.
    known |= {ENCODING.decode(), _base64(ENCODING.decode()), *LOCAL_ACTIVITY_NOTES}
    known |= {_base64("json/plain"), _base64("KeywordList")}
    # The payload key's id, with its length, at the head of every seal.
    ring = json.loads(Path(env["VOTEPYRAMID_CODEC_KEYS_FILE"]).read_text())
    known |= {_base64(f"{chr(len(name))}{name}") for name in ring["keys"]}
    # Hours of a time, and Temporal's for none: a time within the hour is no name.
    days = (datetime.now(UTC) - timedelta(days=n) for n in range(2))
    known |= {"0001-01-01t00", *(f"{day:%Y-%m-%dt}" for day in days)}
    return {one.lower() for one in known if len(one) > 5}


def unexplained(
    claims: dict[str, str], casts: dict[str, str], known: set[str]
) -> set[str]:
    """What stands in both and is in nothing that may."""
    both = {claims[one].lower() for one in set(claims) & set(casts)}
    return {one for one in both if not any(name in one for name in known)}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode().rstrip("=")


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
    own = ("Build", "TemporalScheduled", "TemporalChangeVersion")
    return {n for n in names if not n.startswith(own)} | set(described.memo.fields)


def failures(message: Message) -> Iterator[Failure]:
    yield from messages(message, Failure)
