"""Which workflows there are, by state, kind, election and age; and how many.

Temporal answers few such questions (ten a second for a whole namespace, unless it is
told otherwise). So an answer is given again for HOLD_S seconds, each says how old it
is, one question is asked at a time, and few of them a second. The list is behind the
workflows by a moment.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from temporalio.client import Client, WorkflowExecution

from votepyramid.engine.bucket import Bucket
from votepyramid.engine.control import Desk, WorkRefused
from votepyramid.protocol.encoding import check_id
from votepyramid.settings import Settings
from workflows import messages as m
from workflows.attributes import ATTENTION, ELECTION, STUCK_STEP

T = TypeVar("T")

HOLD_S = 5.0
HELD = 128
# Nine in the worst second, which is under Temporal's ten: whoever is over them is
# refused, and with them the workers, who count too. So many at once, as a page and the
# one that leads to it ask six questions: it should not come without its list.
ASKED_AT_ONCE, ASKED_PER_S = 6, 3
PAGE = 50
LARGEST_PAGE = 200
KINDS = (
    m.SUBMIT_VOTES,
    m.SUBMIT_VOTE,
    m.CLAIM_TOKENS,
    m.CLAIM_TOKEN,
    m.REWRAP_KEYS,
    m.CLOSE_ELECTION,
    m.EXPORT_ELECTION,
    m.REMOVE_EXPORT,
    m.ARCHIVE_HISTORIES,
)
STEPS = (
    m.CHECK_ELIGIBILITY,
    m.ENCRYPT_BALLOTS,
    m.RECORD_VOTES,
    m.CHECK_CLAIMS,
    m.ISSUE_TOKENS,
    m.CLOSE_WHEN_DUE,
    m.LOOK_AT_CLOSING,
    m.SIGN_CLOSING,
    m.WRITE_EXPORT,
    m.REMOVE_FILES,
    m.REWRAP_BATCH,
)
_NO_PLACE = (
    "no such place in the list: give the `next` of an earlier answer to the same "
    "question, or leave it out to begin anew"
)


def queues(settings: Settings) -> tuple[str, ...]:
    """The task queues of this installation: others may share the namespace."""
    return (
        settings.claim_task_queue,
        settings.vote_task_queue,
        *patient_queues(settings),
        settings.upkeep_task_queue,
    )


def patient_queues(settings: Settings) -> tuple[str, ...]:
    """Those whose work may wait, and whose workers run where they are needed."""
    return (
        settings.closing_task_queue,
        settings.exporting_task_queue,
        settings.keys_task_queue,
    )


class State(StrEnum):
    """How a workflow stands. Its value is Temporal's word in lower case."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    TERMINATED = "terminated"
    CONTINUED_AS_NEW = "continued_as_new"
    TIMED_OUT = "timed_out"
    PAUSED = "paused"


@dataclass(frozen=True)
class Filter:
    """What is asked for; what is left out is not asked. Ages in seconds.

    `step` is one of STEPS, at which they need attention. With `as_of`, ages are those
    of that time (UTC), and nothing began later.
    """

    states: frozenset[State] = frozenset()
    kind: str | None = None
    election: str | None = None
    needs_attention: bool = False
    step: str | None = None
    older_than: float | None = None
    younger_than: float | None = None
    as_of: datetime | None = None

    def query(self, settings: Settings, now: datetime) -> str:
        """In Temporal's language. Raises ProtocolError for an impossible election."""
        parts = [f"TaskQueue IN ({', '.join(map(_quoted, queues(settings)))})"]
        if self.step is not None:
            parts.append(f"{STUCK_STEP.name} = {_quoted(self.step)}")
        if self.needs_attention or self.step is not None:
            # One that was terminated keeps the flags it had.
            parts.append(f"{ATTENTION.name} = true AND ExecutionStatus = 'Running'")
        if self.states:
            words = sorted(_quoted(_temporals(state)) for state in self.states)
            parts.append(f"ExecutionStatus IN ({', '.join(words)})")
        if self.kind is not None:
            parts.append(f"WorkflowType = {_quoted(self.kind)}")
        if self.election is not None:
            parts.append(f"{ELECTION.name} = {_quoted(check_id(self.election))}")
        if self.as_of is not None:
            now = self.as_of
            parts.append(f"StartTime <= {_quoted(_before(now, 0))}")
        if self.older_than is not None:
            parts.append(f"StartTime <= {_quoted(_before(now, self.older_than))}")
        if self.younger_than is not None:
            parts.append(f"StartTime >= {_quoted(_before(now, self.younger_than))}")
        return " AND ".join(parts)


@dataclass(frozen=True)
class Listed:
    """One run of a workflow, as the list has it.

    `stuck_at` is a step, of one that needs attention.
    """

    workflow_id: str
    run_id: str
    kind: str
    election: str | None
    state: State
    needs_attention: bool
    stuck_at: str | None
    started_at: datetime
    closed_at: datetime | None
    came_from: str | None


@dataclass(frozen=True)
class Page:
    """Running ones first, then by the time of their end, newest first.

    `next` is where the next page begins, None after the last; `age_s` seconds ago
    Temporal said so.
    """

    workflows: tuple[Listed, ...]
    next: str | None
    age_s: float = 0.0


@dataclass(frozen=True)
class Counts:
    """How many there are in each state, of those asked for, and how many are stuck."""

    states: dict[State, int]
    needs_attention: int
    age_s: float = 0.0


class Listing:
    """Lists and counts for a process, with what was said lately.

    Temporal is asked ASKED_PER_S times a second, after ASKED_AT_ONCE: who asks for
    more waits.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._held: dict[object, tuple[float, Any]] = {}
        self._turn = asyncio.Lock()
        self._left = Bucket(ASKED_PER_S, ASKED_AT_ONCE)

    def page(self, wanted: Filter, after: str | None = None, size: int = PAGE) -> Page:
        """One page. Raises TemporalAway, WorkRefused, ProtocolError."""
        if wanted.kind is not None and wanted.kind not in KINDS:
            raise WorkRefused(f"kind must be one of {', '.join(KINDS)}")
        if not 1 <= size <= LARGEST_PAGE:
            raise WorkRefused(f"a page has 1 to {LARGEST_PAGE} workflows")
        settings = self._desk.settings
        # What is asked for, without the time at which it is.
        asked = wanted.query(settings, datetime.fromtimestamp(0, UTC))
        token = _token(after, asked)
        query = wanted.query(settings, datetime.now(UTC))

        async def ask(client: Client) -> Page:
            return await _page(client, query, token, size)

        page, age = self._lately(("page", wanted, after, size), 1, ask)
        following = page.next and _place(page.next, asked)
        return replace(page, next=following, age_s=age)

    def counts(self, wanted: Filter) -> Counts:
        """Raises as `page`."""
        settings, now = self._desk.settings, datetime.now(UTC)
        query = wanted.query(settings, now)
        stuck = replace(wanted, needs_attention=True).query(settings, now)

        async def ask(client: Client) -> Counts:
            return await _counts(client, query, stuck)

        counts, age = self._lately(("counts", wanted), 2, ask)
        return replace(counts, age_s=age)

    def forget(self) -> None:
        """Ask anew next time: something was done to what is listed."""
        self._held.clear()

    def _lately(
        self,
        key: object,
        questions: int,
        ask: Callable[[Client], Coroutine[Any, Any, T]],
    ) -> tuple[T, float]:
        """An answer and its age in seconds: one of the last HOLD_S, or a new one, which
        takes so many questions."""

        async def answered(client: Client) -> tuple[T, float]:
            async with self._turn:
                now = time.monotonic()
                at, held = self._held.pop(key, (now, None))
                if held is not None and now - at < HOLD_S:
                    self._held[key] = (at, held)
                    return held, now - at
                await self._left.take(questions)
                # An answer is as old as its question.
                now = time.monotonic()
                answer = await ask(client)
                while len(self._held) >= HELD:
                    del self._held[next(iter(self._held))]
                self._held[key] = (now, answer)
                return answer, time.monotonic() - now

        return self._desk.ask_of_many(answered)


async def _page(client: Client, query: str, token: bytes | None, size: int) -> Page:
    found = client.list_workflows(query, page_size=size, next_page_token=token)
    await found.fetch_next_page()
    following = found.next_page_token
    listed = tuple(_listed(one) for one in found.current_page or ())
    return Page(listed, _text(following) if following else None)


async def _counts(client: Client, query: str, stuck: str) -> Counts:
    grouped = await client.count_workflows(f"{query} GROUP BY ExecutionStatus")
    states = {
        _state(str(group.group_values[0])): group.count for group in grouped.groups
    }
    flagged = await client.count_workflows(stuck)
    return Counts(dict(sorted(states.items())), flagged.count)


def _listed(one: WorkflowExecution) -> Listed:
    state = State(one.status.name.lower()) if one.status else State.RUNNING
    attributes = one.typed_search_attributes
    stuck = state is State.RUNNING and bool(attributes.get(ATTENTION))
    return Listed(
        workflow_id=one.id,
        run_id=one.run_id,
        kind=one.workflow_type,
        election=attributes.get(ELECTION),
        state=state,
        needs_attention=stuck,
        stuck_at=attributes.get(STUCK_STEP) if stuck else None,
        started_at=one.start_time,
        closed_at=one.close_time,
        came_from=one.parent_id,
    )


def _temporals(state: State) -> str:
    return "".join(word.capitalize() for word in state.value.split("_"))


def _state(word: str) -> State:
    """Of Temporal's word, such as ContinuedAsNew."""
    return next(state for state in State if _temporals(state) == word)


def _quoted(text: str) -> str:
    if "'" in text or "\\" in text:
        raise WorkRefused("a task queue's name may have no quotation mark or backslash")
    return f"'{text}'"


def _before(now: datetime, seconds: float) -> str:
    then = (now - timedelta(seconds=seconds)).astimezone(UTC)
    return then.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _place(token: str, asked: str) -> str:
    """A place in the list, with what it is a place in."""
    return f"{token}.{_digest(token, asked)}"


def _token(after: str | None, asked: str) -> bytes | None:
    """Temporal's own place. Raises WorkRefused for one that it did not give here.

    Temporal answers a broken one as if it were broken itself, and is asked again.
    """
    if after is None:
        return None
    token, _, digest = after.partition(".")
    if digest != _digest(token, asked):
        raise WorkRefused(_NO_PLACE)
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise WorkRefused(_NO_PLACE) from None


def _digest(token: str, asked: str) -> str:
    return hashlib.sha256(f"{token}.{asked}".encode()).hexdigest()[:16]


def _text(token: bytes) -> str:
    return base64.urlsafe_b64encode(token).decode()
