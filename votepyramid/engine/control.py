"""What an operator asks of Temporal itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, TypeVar

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError, RPCStatusCode

from votepyramid.engine import histories
from votepyramid.engine.connection import LoopThread, connect
from votepyramid.settings import Settings
from workflows.messages import ATTEMPT_TIMEOUT

T = TypeVar("T")

AT_ONCE = 8
# How long an operator's question may take.
PATIENCE_S = 10.0
# And a look whether Temporal knows workflows at all.
LOOK_S = 2.0

_ENDED_FROM_OUTSIDE = (
    WorkflowExecutionStatus.CANCELED,
    WorkflowExecutionStatus.TERMINATED,
    WorkflowExecutionStatus.TIMED_OUT,
)
_AT_IT = (
    PendingActivityState.PENDING_ACTIVITY_STATE_STARTED,
    PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED,
    PendingActivityState.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED,
)
# The id of no workflow: ours have a slash in theirs.
_NOBODY = "nobody"
# Cancelled is what the SDK calls a call whose time ran out here.
_SILENT = (
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,
)
_BUSY = (RPCStatusCode.RESOURCE_EXHAUSTED,)
_TOO_MUCH = "it is asked more than its limits allow; try again, or raise them"
_SEE = "see its log, and whether VOTEPYRAMID_TEMPORAL_NAMESPACE is right"


class TemporalAway(Exception):
    """Temporal could not be asked; the message says where, and what to change."""


class TemporalRefuses(TemporalAway):
    """Temporal answers, but not this question: votes may well go on."""


class WorkRefused(Exception):
    """A question about workflows without an answer; the message says what to change."""


@dataclass(frozen=True)
class Alive:
    """Workflows by id: `running` have not ended. Of those that have `lately`, the last
    attempt may still be under way."""

    running: set[str]
    lately: set[str]


def alive(settings: Settings, workflow_ids: Iterable[str]) -> Alive:
    """Those of the workflows that can still do something. Raises TemporalAway.

    One that Temporal does not know any more has ended: only closed ones are
    forgotten.
    """
    wanted = sorted(set(workflow_ids))
    if not wanted:
        return Alive(set(), set())
    with temporal_away(settings):
        states = asyncio.run(_states(settings, wanted))
    found = [*zip(wanted, states, strict=True)]
    return Alive(
        {one for one, state in found if state is _State.RUNNING},
        {one for one, state in found if state is _State.LATELY},
    )


@contextmanager
def temporal_away(settings: Settings) -> Iterator[None]:
    """Turns a call that failed into TemporalAway, or TemporalRefuses."""
    try:
        yield
    except RPCError as error:
        status = error.status.name
        if error.status in _SILENT:
            raise _silent(settings, status) from None
        todo = _TOO_MUCH if error.status in _BUSY else _SEE
        raise TemporalRefuses(
            f"Temporal on {settings.temporal_address} refuses ({status}): {todo}"
        ) from None


async def operators_client(settings: Settings) -> Client:
    """A client of an operator's command. Raises TemporalAway."""
    try:
        return await connect(settings, role="operator")
    except RuntimeError:
        # The SDK has no type of its own for it.
        raise _silent(settings, "no connection") from None


def _silent(settings: Settings, why: str) -> TemporalAway:
    return TemporalAway(
        f"Temporal does not answer on {settings.temporal_address} ({why}): start it, "
        f"or set VOTEPYRAMID_TEMPORAL_ADDRESS"
    )


class Desk:
    """A line to Temporal that is kept, for operators' questions from any thread."""

    def __init__(self, settings: Settings, patience: float = PATIENCE_S) -> None:
        self.settings = settings
        self._patience = patience
        self._loop = LoopThread()
        self._client: Client | None = None

    def ask(self, question: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """The answer. Raises TemporalAway, also after `patience` seconds, and what it
        raises itself;

        SettingsError and KeyProviderError without the codec's keys.
        """
        with temporal_away(self.settings):
            try:
                return self._loop.call(self._ask(question), self._patience)
            except TimeoutError:
                raise _silent(self.settings, f"for {self._patience:g} s") from None

    def ask_of_many(self, question: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """As `ask`, for lists and counts, which Temporal keeps apart from the work.

        Its store of them may be away, or too many ask, while it hands out work as ever;
        the SDK asks again until nobody waits any more, so that both look like silence.
        Raises TemporalRefuses where Temporal still knows its workflows one by one.
        """
        try:
            return self.ask(question)
        except TemporalRefuses:
            raise
        except TemporalAway:
            if not self._knows_workflows():
                raise
            raise TemporalRefuses(
                f"Temporal on {self.settings.temporal_address} does not list or count "
                f"its workflows: see its log and its visibility store, and whether it "
                f"is asked more than its limits allow"
            ) from None

    def _knows_workflows(self) -> bool:
        patience = min(self._patience, LOOK_S)
        try:
            return self._loop.call(self._ask(_knows(patience)), patience + 1)
        except (TemporalAway, RPCError, TimeoutError):
            return False

    async def _ask(self, question: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        if self._client is None:
            self._client = await operators_client(self.settings)
        return await question(self._client)


def gather_histories(
    settings: Settings,
    election: str,
    wanted: histories.Wanted,
    take: histories.Take,
    tell: Callable[[int, int], None],
    page: int = histories.PAGE,
) -> None:
    """Hand every history of an election that is wanted to `take`, as a document.

    Rewrappings, which are of the keys of all elections, among them. `tell` is told how
    many workflows were looked at, of about how many. Temporal lists `page` at a time.
    Raises TemporalAway and KeyProviderError.
    """
    queries = (
        histories.to_export(election),
        histories.of_keys(settings.keys_task_queue),
    )

    async def work() -> None:
        client = await operators_client(settings)
        total = sum([(await client.count_workflows(q)).count for q in queries])
        seen = 0
        for query in queries:
            async for more in histories.gather(client, query, page, wanted, take):
                seen += more
                tell(seen, total)

    with temporal_away(settings):
        asyncio.run(work())


def _knows(patience: float) -> Callable[[Client], Coroutine[Any, Any, bool]]:
    """Asks for a workflow that is not there: the answer comes from where work does."""

    async def ask(client: Client) -> bool:
        nobody, limit = client.get_workflow_handle(_NOBODY), timedelta(seconds=patience)
        try:
            await nobody.describe(rpc_timeout=limit)
        except RPCError as error:
            return error.status == RPCStatusCode.NOT_FOUND
        return True

    return ask


class _State(Enum):
    RUNNING = auto()
    LATELY = auto()
    OVER = auto()


async def _states(settings: Settings, workflow_ids: Iterable[str]) -> list[_State]:
    client = await operators_client(settings)
    room = asyncio.Semaphore(AT_ONCE)

    async def ask(workflow_id: str) -> _State:
        async with room:
            return await _state(client, workflow_id)

    return await asyncio.gather(*map(ask, workflow_ids))


async def _state(client: Client, workflow_id: str) -> _State:
    try:
        found = await client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return _State.OVER
        raise
    if found.status == WorkflowExecutionStatus.RUNNING:
        return _State.RUNNING
    return _State.LATELY if _may_go_on(found) else _State.OVER


def _may_go_on(found: WorkflowExecutionDescription) -> bool:
    """Whether an attempt that a closed workflow began may not be over yet.

    One that was ended from outside leaves its activities as they stood. Of steps that
    were tried within the workflow nothing is known, hence none is a maybe, too.
    """
    if found.status not in _ENDED_FROM_OUTSIDE or found.close_time is None:
        return False
    if datetime.now(UTC) - found.close_time > ATTEMPT_TIMEOUT:
        return False
    left = found.raw_description.pending_activities
    return not left or any(one.state in _AT_IT for one in left)
