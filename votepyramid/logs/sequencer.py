"""The sequencer: what waits goes into its log, in batches, and becomes public.

One process sequences at a time; another that is started waits, and takes over. A
batch is due at `log_leaves` waiting entries or when the oldest has waited for
`log_seconds`: a checkpoint for every vote would say when each was cast. Within a
batch the order is that of the ballots' tags, which tells an onlooker nothing.

A step is: append and commit; sign the checkpoint; keep it outside the database; make it
public. Killed anywhere, the next one goes on there: Ed25519 signs the same tree alike,
and nothing is public that is not kept. Before each step the log is compared with what
was kept. One that has gone back, or says something else, is not continued: whoever
holds the old checkpoint could prove that the log forked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine, delete, func, select
from sqlalchemy.exc import SQLAlchemyError

from votepyramid.keys.provider import KeyProviderError
from votepyramid.keys.service import ElectionKeys, KeyMissing
from votepyramid.logs import metrics, store
from votepyramid.logs.keeping import Keeping
from votepyramid.logs.models import LogQueue
from votepyramid.logs.store import Head, Log
from votepyramid.protocol.checkpoint import (
    Checkpoint,
    open_checkpoint,
    sign_checkpoint,
)
from votepyramid.protocol.notes import SigningKey
from votepyramid.settings import Settings

log = structlog.get_logger(__name__)

# Of all sequencers on one database. "logs".
LOCK = 0x6C6F6773
BATCH = 4096
TICK_S = 0.1


class LogBusy(RuntimeError):
    """Another process sequences."""


class LogForked(RuntimeError):
    """The database and what was kept outside it cannot both be right."""


@dataclass(frozen=True)
class Source:
    """Where a kind of log comes from. `purpose` names the key of its checkpoints.

    `entries` gives the bytes of what waits, in the order asked for by subject, and
    raises LogDamaged for what is not as it was promised.
    """

    purpose: str
    entries: Callable[[Connection, Sequence[str]], list[bytes]]


@dataclass(frozen=True)
class _Waiting:
    id: int
    subject: str


class Sequencer:
    """Sequences the logs of all elections, of the kinds that `sources` names.

    Raises LogForked and LogDamaged, which need a person, KeepingError, and whatever
    the database and the key provider raise when they are away.
    """

    def __init__(
        self,
        engine: Engine,
        keys: ElectionKeys,
        keeping: Keeping,
        sources: Mapping[str, Source],
        settings: Settings,
    ) -> None:
        self._sources = sources
        self._keyless: set[Log] = set()
        self._engine = engine
        self._keys = keys
        self._keeping = keeping
        self._leaves = settings.log_leaves
        self._seconds = settings.log_seconds

    def check(self) -> None:
        """Compare every log that was kept with the database."""
        for kept in self._keeping.logs():
            with self._engine.connect() as connection:
                head = store.head(connection, kept)
                self._compare(connection, kept, head)

    def run(self, stop: threading.Event) -> None:
        """Until told to stop. Waits for its turn while another one sequences."""
        while not stop.is_set():
            try:
                with self._turn() as turn:
                    if turn is not None:
                        self._sequence_until(stop, turn)
            except (SQLAlchemyError, KeyProviderError) as error:
                log.warning("sequencing_interrupted", error=type(error).__name__)
            stop.wait(1.0)

    def _sequence_until(self, stop: threading.Event, turn: Connection) -> None:
        log.info("sequencing")
        self.check()
        while not stop.is_set():
            if not self.step():
                stop.wait(TICK_S)
            # Whoever loses this connection has lost the turn.
            turn.execute(select(1))

    @contextmanager
    def _turn(self) -> Iterator[Connection | None]:
        """The lock of all sequencers, held by a connection; None when it is taken."""
        with self._engine.connect() as made:
            turn = made.execution_options(isolation_level="AUTOCOMMIT")
            if not turn.scalar(select(func.pg_try_advisory_lock(LOCK))):
                yield None
                return
            try:
                yield turn
            finally:
                turn.execute(select(func.pg_advisory_unlock(LOCK)))

    def once(self) -> None:
        """Append all that waits. Raises LogBusy while another one sequences."""
        with self._turn() as turn:
            if turn is None:
                raise LogBusy("another sequencer runs: it appends what waits")
            self.check()
            while self.step(flush=True):
                pass

    def step(self, *, flush: bool = False) -> int:
        """Sequence what is due, of all if `flush`; the number of entries appended."""
        with self._engine.connect() as connection:
            due = self._due(connection, flush)
        return sum(map(self._try_sequence, due))

    def _due(self, connection: Connection, flush: bool) -> list[Log]:
        oldest = func.extract(
            "epoch", func.clock_timestamp() - func.min(LogQueue.queued_at)
        )
        rows = connection.execute(
            select(LogQueue.election, LogQueue.kind, func.count().label("n"), oldest)
            .where(LogQueue.kind.in_([*self._sources]))
            .group_by(LogQueue.election, LogQueue.kind)
        ).all()
        for election, kind, n, age in rows:
            metrics.WAITING.labels(election, kind).set(n)
            metrics.LAG.labels(election, kind).set(float(age))
        return [
            each
            for election, kind, n, age in rows
            if (each := Log(election, kind)) not in self._keyless
            and (flush or n >= self._leaves or age >= self._seconds)
        ]

    def _try_sequence(self, each: Log) -> int:
        try:
            return self._sequence(each)
        except KeyMissing:
            # Made by code that had no logs, and signed so: nothing promises one.
            log.warning("no_log_key", election=each.election, kind=each.kind)
            self._keyless.add(each)
            return 0

    def _sequence(self, each: Log) -> int:
        # Before the transaction: a key that is not held takes a connection of its own.
        self._signer(each)
        with self._engine.begin() as connection:
            head = store.begin(connection, each)
            self._compare(connection, each, head)
            waiting = _take(connection, each)
            if waiting:
                subjects = [one.subject for one in waiting]
                entries = self._sources[each.kind].entries(connection, subjects)
                head = store.append(connection, each, head, entries)
                _remove(connection, waiting)
        self._publish(each, head)
        return len(waiting)

    def _publish(self, each: Log, head: Head) -> None:
        signer = self._signer(each)
        note = sign_checkpoint(
            Checkpoint(signer.verifier.name, head.size, head.root), signer
        )
        # Kept before anybody has seen it.
        self._keeping.keep(each, note)
        with self._engine.begin() as connection:
            store.publish(connection, each, head.size, note)
        metrics.SIZE.labels(each.election, each.kind).set(head.size)
        metrics.PUBLISHED.labels(each.election, each.kind).set(time.time())

    def _signer(self, each: Log) -> SigningKey:
        return self._keys.signer(each.election, self._sources[each.kind].purpose)

    def _compare(self, connection: Connection, each: Log, head: Head | None) -> None:
        note = self._keeping.read(each)
        if note is None:
            return
        key = self._signer(each).verifier
        said, size = open_checkpoint(note, key.name, key), head.size if head else 0
        if size < said.size:
            raise LogForked(
                f"the {each.kind} log of {each.election} has {size} entries, and a "
                f"checkpoint of {said.size} was signed: the database was set back"
            )
        if store.root_at(connection, each, said.size) != said.root:
            raise LogForked(
                f"the first {said.size} entries of the {each.kind} log of "
                f"{each.election} are not those that were signed"
            )


def _take(connection: Connection, each: Log) -> list[_Waiting]:
    rows = connection.execute(
        select(LogQueue.id, LogQueue.subject)
        .where(*store.of(LogQueue, each))
        .order_by(LogQueue.sort)
        .limit(BATCH)
    )
    return [_Waiting(row.id, row.subject) for row in rows]


def _remove(connection: Connection, waiting: Sequence[_Waiting]) -> None:
    connection.execute(
        delete(LogQueue).where(LogQueue.id.in_([one.id for one in waiting]))
    )
