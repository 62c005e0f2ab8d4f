"""One place for how we talk to Postgres: metadata, engines, timeouts, fault classes.

Every connection runs READ COMMITTED in UTC with a statement and a lock timeout, so
that no step waits for long. An attempt that Temporal has given up on may still go
on: row locks and unique indexes make that harmless, not timeouts.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, MetaData, create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as SQLAlchemyTimeout
from sqlalchemy.orm import DeclarativeBase

from votepyramid.errors import Code, Refused
from votepyramid.observing.tracing import trace_statements
from votepyramid.silence import connecting

T = TypeVar("T")
QuestionT = TypeVar("QuestionT")
AnswerT = TypeVar("AnswerT")

# Where a committed group says so; the payload is the group's id and nothing else.
GROUPS_CHANNEL = "votepyramid_groups"

STATEMENT_TIMEOUT_MS = 5_000
# Groups that share tokens wait for each other for milliseconds. Whoever waits
# longer had better fail and be seen waiting.
LOCK_TIMEOUT_MS = 1_000
CONNECT_TIMEOUT_S = 3
# A server-side timeout cannot end a wait for a host that has vanished; these do. For a
# Postgres that hangs on a host that answers they do nothing: see silence.py.
KEEPALIVES: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 6_000,
}


class Base(DeclarativeBase):
    """Declarative base; the naming convention keeps migrations able to name things."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def make_engine(
    url: str,
    *,
    pool_size: int = 8,
    application_name: str = "votepyramid",
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    lock_timeout_ms: int = LOCK_TIMEOUT_MS,
    patience: float | None = None,
) -> Engine:
    """An engine on psycopg 3 with our timeouts; the pool never queues for long.

    `pool_timeout` is short on purpose: a caller that cannot get a connection must
    answer 503 while the client is still listening. With `patience` a connection ends
    with PostgresSilent when nothing has come for so many seconds; more than a statement
    may take, or Postgres has no chance to say that it ended one.
    """
    # Imported late: metrics must know their directory first.
    from votepyramid.observing.pools import MeasuredPool, measure

    engine = create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1),
        poolclass=MeasuredPool,
        pool_logging_name=application_name,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=2,
        # pre_ping costs a round trip a checkout; a stale connection after a
        # database restart surfaces as a fault and is retried instead.
        pool_pre_ping=False,
        # Errors are logged and travel to Temporal: never with a row's values.
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": application_name,
            "options": (
                f"-c statement_timeout={statement_timeout_ms} "
                f"-c lock_timeout={lock_timeout_ms} "
                # A statement that was planned while its table was small must not go on
                # reading it from end to end when it has grown.
                "-c plan_cache_mode=force_custom_plan "
                # A process frozen inside a transaction must let go of its tokens.
                "-c idle_in_transaction_session_timeout=10000 "
                "-c timezone=UTC"
            ),
            **KEEPALIVES,
        },
    )
    if patience is not None:
        event.listen(engine, "do_connect", connecting(patience, CONNECT_TIMEOUT_S))
    measure(engine, pool_size)
    trace_statements(engine)
    return engine


def listen_dsn(url: str) -> str:
    """The libpq form of an SQLAlchemy URL, for connections outside the pool."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


# SQLSTATE classes that say "this part is unwell", not "this row is bad":
# connection, insufficient resources, operator intervention, system error, plans that
# a migration made stale, and the transaction rollbacks that a retry cures.
_FAULT_CLASSES = ("08", "0A", "25", "26", "28", "3D", "40", "53", "55", "57", "58")


def is_fault(error: BaseException) -> bool:
    """True when the database (or the way to it) failed; False when a row did."""
    if not isinstance(error, DBAPIError):
        # SQLAlchemy's own pool timeout, socket errors and the like.
        return True
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        # Without one the driver itself failed: on the wire, or on a value.
        return isinstance(error, OperationalError | InterfaceError)
    return state[:2] in _FAULT_CLASSES


def retrying(attempt: Callable[[], T], tries: int = 4) -> T:
    """Run a whole transaction again when Postgres rolled it back to resolve a race.

    Deadlocks (40P01) and serialization failures (40001) only; anything else, and
    the last of them, is raised.
    """
    for _ in range(tries - 1):
        try:
            return attempt()
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if state not in ("40P01", "40001"):
                raise
    return attempt()


def isolating(
    connection: Connection,
    items: Sequence[T],
    apply: Callable[[list[T]], None],
    *,
    alone: bool = False,
) -> list[T]:
    """Apply items under savepoints, halving around those the database refuses.

    Returns the refused items; the others are applied, in the order given. When all
    of several are refused the last error is raised instead: then it is no item's
    own fault. `alone` says that there is nobody left to spare, and raises too.
    Faults of the database are raised at once. `apply` may be called again for an
    item whose batch failed.
    """
    refused: list[T] = []
    last: DBAPIError | None = None
    waiting = [list(items)] if items else []
    while waiting:
        batch = waiting.pop()
        try:
            with connection.begin_nested():
                apply(batch)
        except DBAPIError as error:
            if is_fault(error):
                raise
            last = error
            if len(batch) == 1:
                refused += batch
            else:
                half = len(batch) // 2
                waiting += [batch[half:], batch[:half]]
    if last is not None and len(refused) == len(items) and (alone or len(items) > 1):
        raise last
    return refused


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for single reads: autocommit, so no transaction is left behind.

    Raises Refused(UNAVAILABLE) when the database is away: nothing was written, and
    the same request can be sent again.
    """
    try:
        with engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")
    except (DBAPIError, SQLAlchemyTimeout) as error:
        if not is_fault(error):
            raise
        raise Refused(Code.UNAVAILABLE, retry_after=2.0) from error


class SharedRead(Generic[QuestionT, AnswerT]):
    """One read for all who ask while the last one is under way.

    Whoever finds nobody reading reads at once; those who come meanwhile share the
    next read. So a crowd pays for one round trip, and hardly waits for the
    interpreter lock, which each round trip lets go. A read that hangs holds nobody
    up for long: after PATIENCE_S whoever waits reads alone.

    `read` answers questions in their order. One question must not be able to spoil
    it: when it fails, it fails for all who shared it.
    """

    PATIENCE_S = 1.0

    def __init__(
        self,
        engine: Engine,
        read: Callable[[Connection, Sequence[QuestionT]], Sequence[AnswerT]],
    ) -> None:
        self._engine = engine
        self._read = read
        self._lock = threading.Lock()
        self._busy = False
        self._asked: list[tuple[QuestionT, Future[AnswerT | None]]] = []

    def ask(self, question: QuestionT) -> AnswerT:
        """From any thread. Raises Refused(UNAVAILABLE) when the database is away."""
        mine: Future[AnswerT | None] = Future()
        with self._lock:
            self._asked.append((question, mine))
            reads, self._busy = not self._busy, True
        if reads:
            return self._read_for_all()
        try:
            answer = mine.result(self.PATIENCE_S)
        except TimeoutError:
            if self._leaves(mine):
                return self._answers([question])[0]
            answer = mine.result()
        return self._read_for_all() if answer is None else answer

    def _leaves(self, mine: Future[AnswerT | None]) -> bool:
        """Wait no longer; False when there is an answer after all, or the turn."""
        with self._lock:
            if mine.done():
                return False
            self._asked = [asked for asked in self._asked if asked[1] is not mine]
            return True

    def _read_for_all(self) -> AnswerT:
        """Called by whoever has asked first of those who wait."""
        with self._lock:
            batch, self._asked = self._asked, []
        try:
            answers = self._answers([question for question, _ in batch])
        except BaseException as error:
            self._next()
            for _, other in batch[1:]:
                other.set_exception(_told_to_another(error))
            raise
        self._next()
        for (_, other), answer in zip(batch[1:], answers[1:], strict=True):
            other.set_result(answer)
        return answers[0]

    def _answers(self, questions: Sequence[QuestionT]) -> Sequence[AnswerT]:
        with reading(self._engine) as connection:
            answers = self._read(connection, questions)
        if len(answers) != len(questions):
            raise LookupError("as many answers as questions are needed")
        return answers

    def _next(self) -> None:
        """None instead of an answer: the first of those who came meanwhile reads."""
        with self._lock:
            self._busy = bool(self._asked)
            if self._busy:
                self._asked[0][1].set_result(None)


def _told_to_another(error: BaseException) -> Exception:
    """An error of its own for each: one raised in many threads keeps all of them."""
    if isinstance(error, Refused):
        # Not all of them again at the same moment.
        return Refused(error.code, retry_after=1.0 + 2.0 * random.random())
    return RuntimeError(f"a shared read failed: {type(error).__name__}")
