"""Requests refused at the door, counted by the minute.

They get no workflow and no event of their own: a flood of them must not be able to
grow the audit trail. Each process writes one event a minute, election, kind and code in
which there were any.
"""

from __future__ import annotations

import threading
from collections import Counter

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from votepyramid.audit import service as audit
from votepyramid.errors import Code

log = structlog.get_logger(__name__)

PERIOD_S = 60.0


class JunkCounter:
    """Counts in memory, writes every minute and when flushed. Thread safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, Code]] = Counter()

    def start(self) -> None:
        """Flush every minute for as long as the process lives."""
        threading.Thread(target=self._run, name="junk", daemon=True).start()

    def note_vote(self, election: str, code: Code) -> None:
        """Count a vote that an existing election refused at the door.

        Junk names no known token; a vote under a known one that comes before or
        after the time for casting is no junk, and is counted as what it is.
        """
        unknown = code is Code.TOKEN_UNKNOWN
        self._note(election, "junk_refused" if unknown else "untimely_refused", code)

    def note_claim(self, election: str, code: Code) -> None:
        """Count a claim that came before or after the time for it."""
        self._note(election, "untimely_claims_refused", code)

    def _note(self, election: str, kind: str, code: Code) -> None:
        with self._lock:
            self._counts[election, kind, code] += 1

    def flush(self) -> None:
        """Write what was counted; kept for the next time when the database is away."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            with self._engine.begin() as connection:
                for (election, kind, code), count in sorted(counts.items()):
                    detail = {"code": str(code), "count": count}
                    event = audit.Event(kind, detail=detail)
                    audit.append(connection, election, [event])
        except SQLAlchemyError as error:
            log.warning("junk_not_written", error=type(error).__name__)
            with self._lock:
                self._counts += counts

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(PERIOD_S):
            self.flush()
