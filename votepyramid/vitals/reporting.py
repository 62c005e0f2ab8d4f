"""A process's report of itself, every few seconds, into the database.

So the administrators' pages see every process on every host with nothing but the
database. Nothing waits for a report, and one that fails is left out.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Engine, delete, func, insert
from sqlalchemy.exc import SQLAlchemyError

from votepyramid.processes import before_leaving
from votepyramid.vitals.models import Vitals

log = structlog.get_logger(__name__)

PERIOD_S = 5.0
KEPT = timedelta(hours=2)
# Who reports every five seconds need not look for old rows each time.
_CLEARED_EVERY = 60
# What leaving waits for the database.
_LAST_WORD_S = 1.0


class Reporter:
    """Reports what `numbers` gives, in a thread of its own, until the process ends.

    `kind` is web, worker or sequencer.
    """

    def __init__(
        self, engine: Engine, kind: str, numbers: Callable[[], dict[str, Any]]
    ) -> None:
        self._engine, self._kind, self._numbers = engine, kind, numbers
        self._process = uuid.uuid4()
        self._began = datetime.now(UTC)
        self._reports = 0
        self._ended = threading.Event()

    def start(self) -> None:
        """After fork."""
        threading.Thread(target=self._run, name="vitals", daemon=True).start()
        before_leaving(self._leave, well=True)

    def report(self, *, left: bool = False) -> None:
        """Say it once. Raises SQLAlchemyError."""
        values = {
            "process": self._process,
            "kind": self._kind,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": self._began,
            "numbers": self._numbers() | ({"left": True} if left else {}),
        }
        with self._engine.begin() as connection:
            connection.execute(insert(Vitals).values(values))
            if self._reports % _CLEARED_EVERY == 0:
                old = Vitals.at < func.clock_timestamp() - KEPT
                connection.execute(delete(Vitals).where(old))
        self._reports += 1

    def _leave(self) -> None:
        """The last word: who stops on purpose is not looked for."""
        self._ended.set()
        last = threading.Thread(target=self._say, kwargs={"left": True}, daemon=True)
        last.start()
        last.join(_LAST_WORD_S)

    def _say(self, *, left: bool = False) -> None:
        try:
            self.report(left=left)
        except SQLAlchemyError as error:
            log.debug("vitals_not_reported", error=type(error).__name__)

    def _run(self) -> None:
        self._say()
        while not self._ended.wait(PERIOD_S):
            self._say()
