"""What one exported history tells: what was sent, what each step decided, the outcome.

A history's file is hostile until it is read: its events are numbered from 1, of known
types, begin with a start and end as a closed or a running workflow's do, before any of
it is handed to the Replayer. So do they have what the Replayer takes for granted: where
it finds it missing, it does not fail but never ends.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from votepyramid.engine.histories import ENDS, EVENT_TYPES, LOCAL_ACTIVITY, Execution
from votepyramid.protocol.encoding import (
    ProtocolError,
    b64u,
    canonical_hex32,
    strict_json,
    unb64u,
)
from votepyramid.protocol.identifiers import ciphertext_hash
from votepyramid.protocol.leaf import leaf_bytes, receipt_hash
from workflows import messages as m

MAX_PAYLOAD = 64 * 1024 * 1024
_STARTED, _SCHEDULED = "WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_SCHEDULED"
_SIGNALED = "WORKFLOW_EXECUTION_SIGNALED"
# What can follow a workflow task that was started; or nothing does yet.
_AFTER_A_TASK = frozenset(
    {
        "WORKFLOW_TASK_COMPLETED",
        "WORKFLOW_TASK_FAILED",
        "WORKFLOW_TASK_TIMED_OUT",
        "WORKFLOW_EXECUTION_TERMINATED",
        "WORKFLOW_EXECUTION_TIMED_OUT",
    }
)
# The step that decides, by workflow.
_DECIDES = {
    m.SUBMIT_VOTES: m.RECORD_VOTES,
    m.SUBMIT_VOTE: m.RECORD_VOTES,
    m.CLAIM_TOKENS: m.ISSUE_TOKENS,
    m.CLAIM_TOKEN: m.ISSUE_TOKENS,
}
_ALONE = (m.SUBMIT_VOTE, m.CLAIM_TOKEN)
# These decide nothing of a vote or a token: an election's, and that of all elections.
_KINDS = {*_DECIDES, m.CLOSE_ELECTION, m.REWRAP_KEYS}
# How a run ends by itself.
_OWN_ENDS = {
    "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED",
    "EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW",
}


class HistoryError(Exception):
    """A history's file is not what an export writes; the message says why."""


@dataclass
class Told:
    """Of one history or many: votes by receipt hash, claims by keyed pseudonym.

    `undecided` are those whose workflow holds no decision: it still runs, or was ended
    by an operator after the step may have committed. `cast` and `claimed` have all that
    was sent, with the hour in which the first workflow that got it began; `styles` for
    what a token was issued, `restyled` whose was another when they claimed again.
    """

    accepted: set[str] = field(default_factory=set)
    issued: set[str] = field(default_factory=set)
    undecided: set[str] = field(default_factory=set)
    cast: dict[str, datetime] = field(default_factory=dict)
    claimed: dict[str, datetime] = field(default_factory=dict)
    styles: dict[str, str] = field(default_factory=dict)
    restyled: set[str] = field(default_factory=set)
    running: int = 0
    ended_early: int = 0

    def add(self, other: Told) -> None:
        self.accepted |= other.accepted
        self.issued |= other.issued
        self.undecided |= other.undecided
        _add_earlier(self.cast, other.cast)
        _add_earlier(self.claimed, other.claimed)
        self.restyled |= other.restyled
        for pseudonym, style in other.styles.items():
            self.add_style(pseudonym, style)
        self.running += other.running
        self.ended_early += other.ended_early

    def add_style(self, pseudonym: str, style: str) -> None:
        """A token of this style was given to them."""
        if self.styles.setdefault(pseudonym, style) != style:
            self.restyled.add(pseudonym)


def _add_earlier(began: dict[str, datetime], more: dict[str, datetime]) -> None:
    for name, at in more.items():
        if at < began.setdefault(name, at):
            began[name] = at


def read(document: Any, election: str) -> tuple[Execution, Told]:
    """What a history's document tells. Raises HistoryError."""
    try:
        run = Execution(
            str(document["workflow_id"]), str(document["run_id"]), document["closed"]
        )
        return run, _read(document["history"]["events"], run, election)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise HistoryError(f"not a history: {type(error).__name__}") from None


def _read(events: list[dict[str, Any]], run: Execution, election: str) -> Told:
    _check_events(events, run)
    started = events[0]["workflowExecutionStartedEventAttributes"]
    kind = started["workflowType"]["name"]
    (sent,) = _payloads(started["input"])
    _check_place(kind, sent, started["workflowId"], run, election)
    results = list(_results(events))
    by_itself = events[-1]["eventType"] in _OWN_ENDS
    told = Told(running=not run.closed, ended_early=run.closed and not by_itself)
    due = (
        _decided(told, kind, election, _time(events[0]), sent, results)
        if kind in _DECIDES
        else _came_to(kind, sent, results)
    )
    last = events[-1].get("workflowExecutionCompletedEventAttributes")
    if last is not None:
        (result,) = _payloads(last["result"])
        if kind not in _DECIDES:
            result = {name: result[name] for name in due}
        if result != due:
            raise HistoryError("its result is not what its last step decided")
    return told


def _decided(
    told: Told,
    kind: str,
    election: str,
    began: datetime,
    sent: Any,
    results: list[tuple[str, Any]],
) -> Any:
    """Note what was decided of votes or claims; what the result has to be."""
    outcomes = _decision(results, _DECIDES[kind])
    if _DECIDES[kind] == m.RECORD_VOTES:
        _votes(told, election, sent["votes"], outcomes)
        told.cast = {vote["receipt_hash"]: began for vote in sent["votes"]}
    else:
        _claims(told, sent["claims"], outcomes)
        told.claimed = {claim["pseudonym"]: began for claim in sent["claims"]}
    return next(iter(outcomes), None) if kind in _ALONE else outcomes


def _came_to(kind: str, sent: Any, results: list[tuple[str, Any]]) -> dict[str, Any]:
    """Members that the result of a closing or a rewrapping has to have."""
    steps = [value for _, value in results]
    if kind == m.CLOSE_ELECTION:
        return {"phase": steps[-1]["phase"] if steps else None}
    before = (sent["so_far"] or {"rewrapped": 0})["rewrapped"]
    return {"rewrapped": before + sum(batch["rewrapped"] for batch in steps)}


def _check_place(
    kind: str, sent: Any, workflow_id: str, run: Execution, election: str
) -> None:
    """That it is a workflow of ours, of this election or of all, under its own id."""
    if kind not in _KINDS:
        raise HistoryError(f"a workflow of an unknown type {kind!r}")
    if kind == m.REWRAP_KEYS:
        ours = workflow_id.startswith(m.rewrapping(""))
    else:
        ours = sent["election"] == election
    if kind == m.CLOSE_ELECTION:
        ours = ours and workflow_id == m.closing(election)
    if not ours or workflow_id != run.workflow_id:
        raise HistoryError("of another election or workflow")


def _votes(told: Told, election: str, votes: list[Any], outcomes: list[Any]) -> None:
    for vote in votes:
        _check_ballot(vote, election)
    sent = {vote["receipt_hash"] for vote in votes}
    decided = {one["receipt_hash"]: one["code"] for one in outcomes}
    told.accepted = {h for h, code in decided.items() if code is None} & sent
    told.undecided = sent - decided.keys()


def _check_ballot(vote: dict[str, Any], election: str) -> None:
    """That the sealed ballot which was sent gives the receipt hash of its vote."""
    kid, declared = canonical_hex32(vote["key_id"]), vote["manifest_hash"]
    ballot, tag = unb64u(vote["payload"]), unb64u(vote["tag"], 32)
    c = ciphertext_hash(vote["suite"], kid, vote["style"], ballot)
    leaf = leaf_bytes(c, election, canonical_hex32(declared), tag)
    said = vote["receipt_hash"], vote["ciphertext_hash"]
    if said != (receipt_hash(leaf), b64u(c)):
        raise HistoryError(
            f"the ballot that was sent as {said[0]!r} is not the one that its receipt "
            "hash is of"
        )


def _claims(told: Told, claims: list[Any], outcomes: list[Any]) -> None:
    decided = {one["key"]: one for one in outcomes}
    for claim in claims:
        pseudonym, outcome = claim["pseudonym"], decided.get(claim["key"])
        if outcome is None:
            told.undecided.add(pseudonym)
        elif outcome["code"] is None:
            told.issued.add(pseudonym)
            told.add_style(pseudonym, str(outcome["style"]))


def _check_events(events: list[dict[str, Any]], run: Execution) -> None:
    for number, event in enumerate(events, 1):
        if event["eventId"] != str(number) or event["eventType"] not in EVENT_TYPES:
            raise HistoryError("its events are not numbered, or of no known type")
    kinds = [event["eventType"].removeprefix("EVENT_TYPE_") for event in events]
    # A closing is started with a signal.
    after = next((kind for kind in kinds[1:] if kind != _SIGNALED), None)
    if (kinds[0], after) != (_STARTED, _SCHEDULED):
        raise HistoryError("does not begin as a workflow does")
    ends = [event["eventType"] in ENDS for event in events]
    if any(ends[:-1]) or ends[-1] is not run.closed:
        raise HistoryError("does not end as a closed or a running workflow does")
    for kind, event in zip(kinds, events, strict=True):
        if not isinstance(event.get(_attributes(kind)), dict):
            raise HistoryError(f"event {event['eventId']} is not what its type says")
    _check_replayable(events[0][_attributes(_STARTED)], kinds)


def _check_replayable(started: dict[str, Any], kinds: list[str]) -> None:
    """That it has what the Replayer waits for, and would wait for in vain."""
    names = started.get("originalExecutionRunId"), started["taskQueue"].get("name")
    if not all(isinstance(name, str) and name for name in names):
        raise HistoryError("its start names no run or no task queue")
    for kind, after in pairwise(kinds):
        if kind == "WORKFLOW_TASK_STARTED" and after not in _AFTER_A_TASK:
            raise HistoryError("a workflow task was started, and did not end")


def _time(event: dict[str, Any]) -> datetime:
    at = datetime.fromisoformat(event["eventTime"])
    if at.tzinfo is None:
        raise HistoryError("its start has no time")
    return at


def _attributes(kind: str) -> str:
    """The member that has an event's own data: in JSON, as Temporal names it."""
    first, *words = kind.lower().split("_")
    return f"{first}{''.join(map(str.capitalize, words))}EventAttributes"


def _decision(results: list[tuple[str, Any]], step: str) -> list[Any]:
    """What the step that decides returned at last; nothing when it did not yet."""
    outcomes: Any = []
    for name, value in results:
        if name == step:
            outcomes = value
    if not isinstance(outcomes, list):
        raise HistoryError("a step's result is not a list")
    return outcomes


def _results(events: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Each step that returned, and what, in their order."""
    scheduled: dict[str, str] = {}
    for event in events:
        if (asked := event.get("activityTaskScheduledEventAttributes")) is not None:
            scheduled[event["eventId"]] = asked["activityType"]["name"]
        done = event.get("activityTaskCompletedEventAttributes")
        if done is not None:
            (value,) = _payloads(done["result"])
            yield scheduled[done["scheduledEventId"]], value
        note = event.get("markerRecordedEventAttributes")
        if note is None or note["markerName"] != LOCAL_ACTIVITY:
            continue
        if "result" in note["details"]:
            (about,) = _payloads(note["details"]["data"])
            (value,) = _payloads(note["details"]["result"])
            yield str(about.get("activity_type")), value


def _payloads(holder: Any) -> list[Any]:
    found = []
    for payload in holder["payloads"]:
        try:
            data = base64.b64decode(payload["data"], validate=True)
            found.append(strict_json(data, MAX_PAYLOAD))
        except (binascii.Error, ProtocolError):
            raise HistoryError("a payload is not base64 of JSON") from None
    return found
