"""The histories of an export: every workflow that was started for the election.

Claims, casts and closings; besides these the rewrappings of keys, which are of all
elections. Not the archive's own runs, and not exports: they copy and change nothing.

A history is a file `histories/<xx>/<name>.json.gz`, named by a hash of workflow and
run, so that their order says nothing. A closed one never changes and is fetched once.

Temporal lists a workflow some time after it began, and the archive has it later still.
So histories are held against the votes and tokens of the database, and asked for again
for a while when one is lacking.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, select

from votepyramid.audit.archive import Kept
from votepyramid.audit.models import AuditEvent
from votepyramid.auditors.case import Tell
from votepyramid.auditors.folder import Writing
from votepyramid.auditors.told import HistoryError, Told, read
from votepyramid.engine import control, histories
from votepyramid.engine.histories import Execution
from votepyramid.settings import Settings
from votepyramid.votes.models import VoteSubmission

PREFIX = "histories/"
PAUSE_S = 1.0


@dataclass(frozen=True)
class Due:
    """Of what histories must tell: accepted votes by receipt hash, and issued tokens
    by the pseudonyms of their events."""

    votes: frozenset[str] = frozenset()
    claims: frozenset[str] = frozenset()

    def lacking(self, told: Told) -> Lacking:
        """Those that no history tells of, decided or under way."""
        votes = self.votes - told.accepted - told.undecided
        claims = self.claims - told.issued - told.undecided
        return Lacking(len(votes), len(claims))


@dataclass(frozen=True)
class Lacking:
    """How many votes and tokens no history tells of."""

    votes: int = 0
    tokens: int = 0

    def __int__(self) -> int:
        return self.votes + self.tokens

    def __bool__(self) -> bool:
        return int(self) > 0


def due(connection: Connection, election: str) -> Due:
    """What the database knows to have come through a workflow."""
    votes = select(VoteSubmission.receipt_hash).where(
        VoteSubmission.election == election, VoteSubmission.status == "accepted"
    )
    issued = select(AuditEvent.subject).where(
        AuditEvent.election == election,
        AuditEvent.kind == "token_issued",
        AuditEvent.subject.is_not(None),
    )
    claims = (str(subject) for subject in connection.scalars(issued))
    return Due(frozenset(connection.scalars(votes)), frozenset(claims))


class Gathering:
    """One election's histories on their way into an export. Raises FolderError."""

    def __init__(
        self,
        settings: Settings,
        election: str,
        out: Writing,
        tell: Tell,
        page: int = histories.PAGE,
    ) -> None:
        self._settings, self._election = settings, election
        self._out, self._tell, self._page = out, tell, page
        self._found: dict[tuple[str, str], Execution] = {}
        self._read: set[str] = set()
        self._told = Told()

    def gather(self, archived: Iterable[Kept], due: Due, wait: float) -> Lacking:
        """Write what Temporal holds, and the archive where Temporal has forgotten.

        Waits up to `wait` seconds for what is due. Raises TemporalAway and
        KeyProviderError.
        """
        until = time.monotonic() + wait
        self._ask_temporal()
        self._ask_archive(archived)
        first = int(due.lacking(self._told))
        while (lacking := due.lacking(self._told)) and time.monotonic() < until:
            self._tell("histories awaited", first - int(lacking), first)
            time.sleep(min(PAUSE_S, wait))
            self._ask_temporal()
        # What still ran when it was written first, and has ended since.
        found = {name_of(one) for one in self._found.values()}
        self._out.keep_only(PREFIX, found)
        return lacking

    def _ask_temporal(self) -> None:
        def counted(done: int, total: int) -> None:
            self._tell("histories", done, total)

        control.gather_histories(
            self._settings,
            self._election,
            self._wanted,
            self._take,
            counted,
            self._page,
        )

    def _ask_archive(self, archived: Iterable[Kept]) -> None:
        opened = histories.opener(self._settings)
        for number, kept in enumerate(archived, 1):
            one = Execution(kept.workflow_id, kept.run_id, closed=True)
            if self._wanted(one):
                self._take(one, opened(one, kept.history))
            self._tell("archived histories", number, 0)

    def _wanted(self, one: Execution) -> bool:
        name, before = name_of(one), self._found.setdefault(_run(one), one)
        if before.closed and not one.closed:
            return False
        self._found[_run(one)] = one
        if not (one.closed and self._out.has(name)):
            return True
        if name not in self._read:
            # Of an attempt that was cut off.
            self._learn(name, self._out.read(name))
        return False

    def _take(self, one: Execution, document: bytes) -> None:
        # It can have ended since it was listed.
        self._found[_run(one)] = one
        packed = gzip.compress(document, 1, mtime=0)
        self._out.write(name_of(one), packed)
        self._learn(name_of(one), packed)

    def _learn(self, name: str, packed: bytes) -> None:
        self._read.add(name)
        try:
            document = json.loads(gzip.decompress(packed))
            _, told = read(document, self._election)
        except (HistoryError, OSError, EOFError, ValueError, zlib.error):
            # It is exported as it is; `audit verify` says what is wrong with it.
            return
        self._told.add(told)


def _run(one: Execution) -> tuple[str, str]:
    return one.workflow_id, one.name


def name_of(one: Execution) -> str:
    """The history's file."""
    place = f"{one.workflow_id}\n{one.name}"
    digest = hashlib.sha256(place.encode()).hexdigest()[:32]
    state = "" if one.closed else ".running"
    return f"{PREFIX}{digest[:2]}/{digest}{state}.json.gz"
