"""What an operator asks of Temporal itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from votepyramid.engine import histories
from votepyramid.engine.connection import LoopThread, connect
from votepyramid.settings import Settings

T = TypeVar("T")

AT_ONCE = 8
# How long an operator's question may take.
PATIENCE_S = 10.0

_SILENT = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED)


class TemporalAway(Exception):
    """Temporal could not be asked; the message says where, and what to change."""


class WorkRefused(Exception):
    """A question about workflows without an answer; the message says what to change."""


def running(settings: Settings, workflow_ids: Iterable[str]) -> set[str]:
    """Those of the workflows that have not ended. Raises TemporalAway.

    One that Temporal does not know any more has ended: only closed ones are
    forgotten.
    """
    wanted = set(workflow_ids)
    if not wanted:
        return set()
    with temporal_away(settings):
        return asyncio.run(_running(settings, wanted))


@contextmanager
def temporal_away(settings: Settings) -> Iterator[None]:
    """Turns a call that failed into TemporalAway."""
    try:
        yield
    except RPCError as error:
        status = error.status.name
        if error.status in _SILENT:
            raise _silent(settings, status) from None
        raise TemporalAway(
            f"Temporal on {settings.temporal_address} refuses ({status}): see its "
            f"log, and whether VOTEPYRAMID_TEMPORAL_NAMESPACE is right"
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


async def _running(settings: Settings, workflow_ids: set[str]) -> set[str]:
    client = await operators_client(settings)
    room = asyncio.Semaphore(AT_ONCE)

    async def ask(workflow_id: str) -> bool:
        async with room:
            return await _is_running(client, workflow_id)

    ordered = sorted(workflow_ids)
    answers = await asyncio.gather(*map(ask, ordered))
    return {one for one, yes in zip(ordered, answers, strict=True) if yes}


async def _is_running(client: Client, workflow_id: str) -> bool:
    try:
        found = await client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return False
        raise
    return found.status == WorkflowExecutionStatus.RUNNING
