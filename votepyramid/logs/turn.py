"""Whose turn it is to sequence: one lock for all, held by one connection.

Whoever loses that connection has lost the turn, and is not told: a network that was
cut, a database that was started anew. So it is asked for again before anything is kept
or shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from votepyramid.logs import metrics

# Of all sequencers on one database. "logs".
LOCK = 0x6C6F6773


class LogBusy(RuntimeError):
    """Another process sequences, or may."""


class Turn:
    """The turn of one process. Used by one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held: Connection | None = None

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Whether it was free; if so it is held to the end of the block, or lost."""
        with self._engine.connect() as made:
            connection = made.execution_options(isolation_level="AUTOCOMMIT")
            if not connection.scalar(select(func.pg_try_advisory_lock(LOCK))):
                metrics.SEQUENCING.set(0)
                yield False
                return
            self._held = connection
            metrics.SEQUENCING.set(1)
            try:
                yield True
            finally:
                self._held = None
                metrics.turn_over()
                _unlock(connection)

    def check(self) -> None:
        """Raise LogBusy unless it is still held."""
        if self._held is None:
            raise LogBusy("it is not this process's turn to sequence")
        try:
            self._held.execute(select(1))
        except SQLAlchemyError:
            raise LogBusy(
                "the connection that held the turn is gone: another sequencer may "
                "have taken over"
            ) from None


def _unlock(connection: Connection) -> None:
    try:
        connection.execute(select(func.pg_advisory_unlock(LOCK)))
    except SQLAlchemyError:
        # A lock goes with its connection; this one must not come back from the pool.
        connection.invalidate()
