"""One LISTEN connection a web process: who committed a group wakes who waits for it.

A notification carries the group's id and is a hint, never the truth. Whenever the
connection was away, everybody waiting is woken to look at the tables.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import psycopg
import structlog
from psycopg import sql

from votepyramid.db import CONNECT_TIMEOUT_S, GROUPS_CHANNEL, KEEPALIVES, listen_dsn
from votepyramid.engine import metrics

log = structlog.get_logger(__name__)

RECONNECT_S = 0.5


class Listener:
    """Calls `wake(group_id)` for each notification and `wake_all()` after a gap."""

    def __init__(
        self, url: str, wake: Callable[[str], None], wake_all: Callable[[], None]
    ) -> None:
        self._dsn = listen_dsn(url)
        self._wake = wake
        self._wake_all = wake_all
        self.connected = False

    async def run(self) -> None:
        """Listen for ever; ends only when cancelled."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                log.warning("listen_lost", error=type(error).__name__)
            self.connected = False
            metrics.LISTENING.set(0)
            await asyncio.sleep(RECONNECT_S)

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="votepyramid-listen",
            # Without these a vanished host would look like a quiet evening.
            **KEEPALIVES,
        )
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(connection.close)
            channel = sql.Identifier(GROUPS_CHANNEL)
            await connection.execute(sql.SQL("LISTEN {}").format(channel))
            self.connected = True
            metrics.LISTENING.set(1)
            self._wake_all()
            async for notice in connection.notifies():
                self._wake(notice.payload)
