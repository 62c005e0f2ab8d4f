"""The archive's step, closed histories from Temporal into the database; its watch."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from temporalio import activity
from temporalio.api.history.v1 import History
from temporalio.client import Client
from temporalio.service import RPCError

from votepyramid.audit import archive
from votepyramid.audit.archive import Kept
from votepyramid.engine import histories, metrics, preparation
from votepyramid.engine.histories import Execution
from workflows import messages as m

log = structlog.get_logger(__name__)

# Visibility is brought up to date behind the history: look back a little.
OVERLAP = timedelta(hours=1)
# One after the other, so that rows side by side pair no claim with a cast.
KINDS = (
    f"WorkflowType IN ('{m.CLAIM_TOKENS}', '{m.CLAIM_TOKEN}')",
    f"WorkflowType IN ('{m.SUBMIT_VOTES}', '{m.SUBMIT_VOTE}')",
    f"WorkflowType = '{m.CLOSE_ELECTION}'",
)
LOOK_EVERY_S = 600.0


class AuditSteps:
    """Looks at all closed workflows since the last run, and keeps what is new.

    `keys_queue` is where the workflows run that rewrap the keys of all elections.
    """

    def __init__(self, engine: Engine, client: Client, keys_queue: str) -> None:
        self._engine = engine
        self._client = client
        self._keys_queue = keys_queue

    @activity.defn(name=m.ARCHIVE_CLOSED)
    async def archive_closed(self) -> m.Archived:
        run, last, elections = await asyncio.to_thread(self._begin)
        closed = "ExecutionStatus != 'Running'"
        if last is not None:
            closed += f" AND CloseTime > '{_text(last - OVERLAP)}'"
        total = m.Archived(found=0, added=0)
        for election, query in self._queries(elections):
            found = histories.batches(self._client, f"{query} AND {closed}")
            async for batch in found:
                total.found += len(batch)
                total.added += await self._archive(election, batch)
                activity.heartbeat(total)
        await asyncio.to_thread(self._end, run, total)
        return total

    async def watch(self, interval: timedelta) -> None:
        """Say so, again and again, while a run is missed, or would be too late."""
        rare = False
        while True:
            try:
                rare = await self._too_rare(interval)
            except RPCError as error:
                log.warning("retention_not_looked_at", error=error.status.name)
            try:
                await asyncio.to_thread(self._look, interval, rare)
            except SQLAlchemyError as error:
                log.warning("archive_not_looked_at", error=type(error).__name__)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _too_rare(self, interval: timedelta) -> bool:
        kept = await preparation.retention(self._client)
        rare = archive.too_rare(interval, kept)
        if rare:
            log.error("archive_too_rare", interval=str(interval), retention=str(kept))
        return rare

    def _look(self, interval: timedelta, rare: bool) -> None:
        with self._engine.connect() as connection:
            standing = archive.standing(connection)
        overdue = standing.overdue(interval)
        metrics.ARCHIVE_OVERDUE.set(overdue or rare)
        if standing.last is not None:
            metrics.ARCHIVED.set(standing.last.timestamp())
        metrics.ARCHIVE_LOOKED_AT.set_to_current_time()
        if overdue:
            log.error("history_export_missed", last=str(standing.last or "never"))

    def _queries(self, elections: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Whose histories, and which list filter finds them."""
        for election, kind in itertools.product(elections, KINDS):
            yield election, f"{histories.of_election(election)} AND {kind}"
        yield archive.EVERY, histories.of_keys(self._keys_queue)

    async def _archive(self, election: str, batch: Sequence[Execution]) -> int:
        wanted = await asyncio.to_thread(self._missing, batch)
        fetched = await histories.fetch_all(self._client, wanted)
        return await asyncio.to_thread(self._keep, election, fetched)

    def _begin(self) -> tuple[int, datetime | None, list[str]]:
        with self._engine.connect() as connection:
            last = archive.standing(connection).last
            return archive.begin(connection), last, archive.elections(connection)

    def _missing(self, batch: Sequence[Execution]) -> list[Execution]:
        with self._engine.connect() as connection:
            wanted = archive.missing(connection, [one.name for one in batch])
        return [one for one in batch if one.name in wanted]

    def _keep(self, election: str, fetched: Sequence[tuple[Execution, History]]) -> int:
        kept = [
            Kept(one.workflow_id, one.name, history.SerializeToString())
            for one, history in fetched
        ]
        with self._engine.connect() as connection:
            return archive.keep(connection, election, kept)

    def _end(self, run: int, total: m.Archived) -> None:
        with self._engine.begin() as connection:
            archive.done(connection, run, total.found, total.added)


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
