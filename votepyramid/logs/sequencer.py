"""The sequencer: what waits goes into its log, in batches, and becomes public.

One process sequences at a time; another that is started waits, and takes over. A
batch is due at `log_leaves` waiting entries, or when a slot of `log_seconds` ends: a
checkpoint for every vote would say when each was cast. Within a batch the order is that
of the ballots' tags, or of events' random numbers, which tells an onlooker nothing.

A step is: append and commit; sign the checkpoint; keep it outside the database; have
it cosigned, where there is a policy of witnesses; make it public. Killed anywhere, the
next one goes on there: Ed25519 signs the same tree alike, and nothing is public, or
was shown to a witness, that is not kept. Before each step the log is compared with
what was kept. One that has gone back, or says something else, or is public and not
kept, is not continued: whoever holds the old checkpoint could prove that the log
forked. It is set aside, and the logs of other elections go on.

An election's audit log goes on only while its log of receipts could, too: so what is
in the published audit log says that neither had gone back by then.

Who was held up and lost its turn meanwhile finds out before it keeps or shows anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from votepyramid.keys.provider import KeyProviderError
from votepyramid.keys.service import ElectionKeys, KeyMissing
from votepyramid.logs import comparing, metrics, queue, store
from votepyramid.logs.comparing import LogForked
from votepyramid.logs.cosigning import Cosigning
from votepyramid.logs.keeping import Keeping, KeepingError
from votepyramid.logs.queue import Taken, Waiting
from votepyramid.logs.slots import Slots
from votepyramid.logs.store import AUDIT, RECEIPTS, Head, Log, LogDamaged
from votepyramid.logs.turn import LogBusy, Turn
from votepyramid.protocol.checkpoint import Checkpoint, sign_checkpoint
from votepyramid.protocol.notes import SigningKey, VerifierKey
from votepyramid.settings import Settings

log = structlog.get_logger(__name__)

BATCH = 4096
# What is read from the queue at a time, when much waits.
TAKEN = 16 * BATCH
TICK_S = 0.1
# How long a log rests whose key cannot be had: its provider must not stop the others.
REST_S = 10.0
# The same for one that has no key at all.
KEYLESS_S = 60.0


class QuorumMissed(RuntimeError):
    """Too few witnesses cosigned: the earlier checkpoints stay public."""


@dataclass(frozen=True)
class Source:
    """Where a kind of log comes from. `purpose` names the key of its checkpoints.

    `entries` gives the bytes of what waits for an election's log, in the order asked
    for by subject, and raises LogDamaged for what is not as it was promised.
    """

    purpose: str
    entries: Callable[[Connection, str, Sequence[str]], list[bytes]]


class Sequencer:
    """Sequences the logs of all elections, of the kinds that `sources` names.

    A log that needs a person is set aside: `stopped` says which, and why. With
    `cosigning`, a checkpoint is public when a quorum of witnesses has cosigned it.
    `once` raises KeepingError, and whatever the database raises when it is away.
    Whoever calls `check` and `step` holds the `turn`.
    """

    def __init__(
        self,
        engine: Engine,
        keys: ElectionKeys,
        keeping: Keeping,
        sources: Mapping[str, Source],
        settings: Settings,
        cosigning: Cosigning | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.stopped: dict[Log, str] = {}
        self.turn = Turn(engine)
        self._sequencing = False
        self._sources = sources
        # When a checkpoint last came out.
        self._published: dict[Log, float] = {}
        # Until when they rest.
        self._keyless: dict[Log, float] = {}
        self._resting: dict[Log, tuple[float, KeyProviderError]] = {}
        self._engine = engine
        self._keys = keys
        self._keeping = keeping
        self._cosigning = cosigning
        self._leaves = settings.log_leaves
        self._seconds = settings.log_seconds
        self._rest = TICK_S
        self._clock = clock
        self._slots = Slots(self._seconds, clock)
        # What waited when the slot ended, until it is appended. Nothing is due so long
        # after it came: that would say when.
        self._owed: set[Log] = set()

    def vitals(self) -> dict[str, Any]:
        """Whether it has the turn, which logs were set aside and why, and how many
        seconds ago a checkpoint of each came out, of those that did since it began."""
        stopped = [
            {"election": each.election, "kind": each.kind, "why": why}
            for each, why in dict(self.stopped).items()
        ]
        now = time.monotonic()
        published = [
            {"election": each.election, "kind": each.kind, "ago": now - at}
            for each, at in dict(self._published).items()
        ]
        return {"turn": self._sequencing, "stopped": stopped, "published": published}

    def check(self) -> None:
        """Compare every log that was kept or is public; begin anew with all."""
        self.stopped.clear()
        for each in [*self._keyless]:
            self._has_key(each)
        # A slot that ended meanwhile is not made up for within the next one.
        self._slots = Slots(self._seconds, self._clock)
        self._owed.clear()
        self._keeping.go_on()
        if self._cosigning is not None:
            self._cosigning.forget()
        with self._engine.connect() as connection:
            public = store.published(connection)
        for each in dict.fromkeys([*self._keeping.logs(), *public]):
            if each.kind in self._sources:
                metrics.STOPPED.labels(each.election, each.kind).set(0)
                self._alone(each, self._check)

    def run(self, stop: threading.Event) -> None:
        """Until told to stop. Waits for its turn while another one sequences."""
        while not stop.is_set():
            try:
                with self.turn.taken() as mine:
                    if mine:
                        self._sequencing = True
                        self._sequence_until(stop)
            except (SQLAlchemyError, KeepingError, LogBusy) as error:
                told = "" if isinstance(error, SQLAlchemyError) else str(error)
                log.warning(
                    "sequencing_interrupted", error=type(error).__name__, problem=told
                )
            self._sequencing = False
            stop.wait(1.0)

    def _sequence_until(self, stop: threading.Event) -> None:
        log.info("sequencing")
        self.check()
        while not stop.is_set():
            if not self.step():
                stop.wait(self._rest)
            self.turn.check()

    def once(self) -> None:
        """Append all that waits, and have it cosigned.

        Raises LogBusy while another one sequences, QuorumMissed when what was
        appended did not become public, KeyProviderError when a log's key is away.
        """
        with self.turn.taken() as mine:
            if not mine:
                raise LogBusy("another sequencer runs: it appends what waits")
            self.check()
            while self.step(flush=True):
                pass
            self._wait_for_witnesses()
        for _, error in self._resting.values():
            raise error

    def step(self, *, flush: bool = False) -> int:
        """Sequence what is due, of all if `flush`; the number of entries appended."""
        turn = self._slots.turn() or flush
        with self._engine.connect() as connection:
            waiting = queue.waiting(connection, [*self._sources])
        # Until the slot ends, that nothing waits for a tick on top.
        self._rest = min(TICK_S, self._slots.left())
        logs = {one.log for one in waiting}
        self._owed = set(filter(self._goes_on, logs)) if turn else self._owed & logs
        appended = sum(
            self._alone(one.log, self._sequence)
            for one in waiting
            if self._goes_on(one.log) and self._is_due(one)
        )
        with self._engine.connect() as connection:
            behind = store.unpublished(connection, [*self._sources])
        for each, size in behind:
            if self._goes_on(each) and size > self._offered(each):
                self._alone(each, self._recover)
        self._publish_cosigned()
        return appended

    def _is_due(self, one: Waiting) -> bool:
        return one.items >= self._leaves or one.log in self._owed

    def _goes_on(self, each: Log) -> bool:
        rests = self._resting[each][0] if each in self._resting else 0.0
        rests = max(rests, self._keyless.get(each, 0.0))
        return each not in self.stopped and time.monotonic() >= rests

    def _alone(self, each: Log, work: Callable[[Log], int]) -> int:
        """Work on one log: what is wrong with it alone stops no other."""
        try:
            done = work(each)
        except (LogForked, LogDamaged) as error:
            self._set_aside(each, str(error))
        except (IntegrityError, DataError) as error:
            # Without the error's text, which quotes rows.
            name = type(error.orig).__name__
            self._set_aside(
                each,
                f"the tables of the {each.kind} log of {each.election} refuse its next "
                f"entries ({name}): they are not as they were left",
            )
        except KeyMissing:
            self._has_no_key(each)
        except KeyProviderError as error:
            log.warning(
                "log_key_away",
                election=each.election,
                kind=each.kind,
                error=type(error).__name__,
            )
            self._resting[each] = time.monotonic() + REST_S, error
            # The slot that has ended is not made up for within the next one.
            self._owed.discard(each)
        else:
            self._resting.pop(each, None)
            self._has_key(each)
            return done
        return 0

    def _has_no_key(self, each: Log) -> None:
        """Deleted by somebody, or never made, by code that had no logs: said once."""
        if each not in self._keyless:
            log.warning("no_log_key", election=each.election, kind=each.kind)
        self._keyless[each] = time.monotonic() + KEYLESS_S
        metrics.KEYLESS.labels(each.election, each.kind).set(1)
        self._owed.discard(each)

    def _has_key(self, each: Log) -> None:
        if self._keyless.pop(each, None) is not None:
            metrics.KEYLESS.labels(each.election, each.kind).set(0)

    def _set_aside(self, each: Log, reason: str) -> None:
        log.error("log_stopped", election=each.election, kind=each.kind, reason=reason)
        self.stopped[each] = reason
        metrics.STOPPED.labels(each.election, each.kind).set(1)
        self._keeping.set_aside(each, reason)

    def _check(self, each: Log) -> int:
        keys = self._verifiers(each)
        with self._engine.begin() as connection:
            self._compare(connection, each, store.locked(connection, each), keys)
        return 0

    def _sequence(self, each: Log) -> int:
        # Before the transaction: a key that is not held takes a connection of its own.
        self._signer(each)
        with self._engine.connect() as connection:
            taken = queue.take(connection, each, TAKEN)
        for begin in range(0, len(taken), BATCH):
            self._append(each, taken[begin : begin + BATCH])
        if len(taken) < TAKEN:
            self._owed.discard(each)
        return len(taken)

    @metrics.BATCH_SECONDS.time()
    def _append(self, each: Log, taken: Sequence[Taken]) -> None:
        keys = self._verifiers(each)
        with self._engine.begin() as connection:
            head = store.begin(connection, each)
            self._compare(connection, each, head, keys)
            if not queue.remove(connection, taken):
                raise LogBusy(f"another sequencer appends to {each}")
            entries = self._sources[each.kind].entries(
                connection, each.election, [one.subject for one in taken]
            )
            head = store.append(connection, each, head, entries)
        self._publish(each, head)

    def _recover(self, each: Log) -> int:
        """Make public what was appended by somebody who came no further."""
        self._signer(each)
        keys = self._verifiers(each)
        with self._engine.begin() as connection:
            head = store.locked(connection, each)
            self._compare(connection, each, head, keys)
            if head is None:
                return 0
            if store.root_at(connection, each, head.size) != head.root:
                raise LogDamaged(f"the tiles of {each} do not lead to its root")
        self._publish(each, head)
        return 0

    def _publish(self, each: Log, head: Head) -> None:
        signer = self._signer(each)
        note = sign_checkpoint(
            Checkpoint(signer.verifier.name, head.size, head.root), signer
        )
        self.turn.check()
        # Kept before anybody has seen it.
        self._keeping.keep(each, note)
        if self._cosigning is None:
            self._make_public(each, head.size, note)
        else:
            self._cosigning.offer(each, head.size, note)

    def _publish_cosigned(self) -> None:
        if self._cosigning is not None:
            for one in self._cosigning.collect():
                self._make_public(one.log, one.size, one.note)

    def _make_public(self, each: Log, size: int, note: str) -> None:
        self.turn.check()
        with self._engine.begin() as connection:
            store.publish(connection, each, size, note)
        metrics.SIZE.labels(each.election, each.kind).set(size)
        metrics.PUBLISHED.labels(each.election, each.kind).set(time.time())
        self._published[each] = time.monotonic()

    def _offered(self, each: Log) -> int:
        return 0 if self._cosigning is None else self._cosigning.offered(each)

    def _wait_for_witnesses(self) -> None:
        if self._cosigning is None:
            return
        while self._cosigning.busy():
            self._publish_cosigned()
            time.sleep(0.02)
        if missed := self._cosigning.missed():
            names = ", ".join(f"{one.election} {one.kind}" for one in missed)
            raise QuorumMissed(f"too few witnesses cosigned: {names}")

    def _signer(self, each: Log) -> SigningKey:
        return self._keys.signer(each.election, self._sources[each.kind].purpose)

    def _verifiers(self, each: Log) -> dict[str, VerifierKey | None]:
        """By the kinds of an election's logs that must hold for this one to go on."""
        kinds = {each.kind} if each.kind != AUDIT else {RECEIPTS, AUDIT}
        logs = [Log(each.election, kind) for kind in self._sources if kind in kinds]
        return {one.kind: self._verifier(one) for one in logs}

    def _verifier(self, each: Log) -> VerifierKey | None:
        """Opens what was kept; None where nothing is, or where the log has no key."""
        if self._keeping.read(each) is None:
            return None
        try:
            return self._signer(each).verifier
        except KeyMissing:
            return None

    def _compare(
        self,
        connection: Connection,
        each: Log,
        head: Head | None,
        keys: Mapping[str, VerifierKey | None],
    ) -> None:
        said = comparing.kept(self._keeping, each, keys[each.kind])
        comparing.compare(connection, self._keeping, each, head, said)
        for kind in keys.keys() - {each.kind}:
            other = Log(each.election, kind)
            with comparing.holding_up(each):
                head = store.locked(connection, other)
                said = comparing.kept(self._keeping, other, keys[kind])
                comparing.compare(connection, self._keeping, other, head, said)


def prover(engine: Engine) -> Callable[[Log, int, int], list[bytes]]:
    """Consistency proofs of the logs for witnesses, from one connection at a time."""
    alone = threading.Lock()

    def prove(each: Log, old: int, new: int) -> list[bytes]:
        with alone, engine.connect() as connection:
            return store.consistency(connection, each, old, new)

    return prove
