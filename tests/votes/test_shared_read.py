"""SharedRead: who reads for whom, when a read fails, hangs or says too little."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, text

from tests.support.databases import Database
from tests.support.elections import make_election
from tests.support.engines import Engine as Running
from tests.support.processes import eventually
from votepyramid.db import SharedRead, make_engine, reading
from votepyramid.errors import Code, Refused
from votepyramid.votes import service
from votepyramid.votes.ballots import CastBallot


class Gate:
    """A read that waits until it is let go, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.open = threading.Event()
        self.error: BaseException | None = None
        self.short = False

    def read(self, _connection: Connection, questions: Sequence[int]) -> list[str]:
        self.asked.append([*questions])
        assert self.open.wait(20)
        if self.error is not None and len(questions) > 1:
            raise self.error
        if self.short and len(questions) > 1:
            return ["too few"]
        return [f"answer {number}" for number in questions]


@pytest.fixture
def pool(engine: Running) -> Iterator[Engine]:
    made = make_engine(engine.database.app_url, pool_size=4)
    yield made
    made.dispose()


@contextmanager
def crowd(
    gate: Gate, shared: SharedRead[int, str], size: int
) -> Iterator[list[Future[str]]]:
    """Number 0 reads and is held up, 1 to `size` - 1 ask meanwhile."""
    with ThreadPoolExecutor(size) as threads:
        try:
            asking = [threads.submit(shared.ask, 0)]
            assert eventually(lambda: gate.asked == [[0]])
            asking += [threads.submit(shared.ask, n) for n in range(1, size)]
            assert eventually(lambda: len(shared._asked) == size - 1)
            yield asking
        finally:
            gate.open.set()


def _patient(pool: Engine, gate: Gate) -> SharedRead[int, str]:
    """Nobody leaves it, however busy the machine."""
    shared = SharedRead(pool, gate.read)
    shared.PATIENCE_S = 60.0
    return shared


def test_those_who_come_during_a_read_share_the_next(pool: Engine) -> None:
    gate = Gate()
    shared = _patient(pool, gate)
    with crowd(gate, shared, 9) as asking:
        gate.open.set()
        assert [one.result(5) for one in asking] == [f"answer {n}" for n in range(9)]
    assert [sorted(batch) for batch in gate.asked] == [[0], [*range(1, 9)]]
    assert shared.ask(9) == "answer 9"


@pytest.mark.parametrize("error", [Refused(Code.UNAVAILABLE), ValueError("x"), None])
def test_a_read_that_fails_is_told_to_each_and_is_not_the_last(
    pool: Engine, error: Exception | None
) -> None:
    gate = Gate()
    gate.error, gate.short = error, error is None
    shared = _patient(pool, gate)
    with crowd(gate, shared, 6) as asking:
        gate.open.set()
        raised = [one.exception(5) for one in asking[1:]]
    assert asking[0].result() == "answer 0"
    assert all(raised) and len({id(one) for one in raised}) == 5
    if isinstance(error, Refused):
        refused = [one for one in raised if isinstance(one, Refused)]
        assert {one.code for one in refused} == {Code.UNAVAILABLE}
        assert len({one.retry_after for one in refused}) > 2
    assert shared.ask(7) == "answer 7"


def test_nobody_waits_long_for_a_read_that_hangs(pool: Engine) -> None:
    gate = Gate()

    def read(connection: Connection, questions: Sequence[int]) -> list[str]:
        if 0 in questions:
            return gate.read(connection, questions)
        return [f"answer {number}" for number in questions]

    shared = SharedRead(pool, read)
    with crowd(gate, shared, 4) as asking:
        answers = [one.result(10) for one in asking[1:]]
        assert answers == ["answer 1", "answer 2", "answer 3"]
        assert not asking[0].done()
    assert asking[0].result(5) == "answer 0"
    assert shared.ask(5) == "answer 5"


def test_the_read_at_the_door_stays_small_while_the_tables_grow(
    database: Database, engine: Running
) -> None:
    """A plan made for an empty table, kept, would read all of it for every vote."""
    election = make_election(database, engine.env, voters=1)
    ballots = [_nobodys(election.id, number) for number in range(16)]
    one = make_engine(database.app_url, pool_size=1)
    with reading(one) as connection:
        # psycopg prepares it at the sixth, Postgres keeps a plan five later.
        for _ in range(16):
            service.arrive(connection, ballots)
        with election.sql() as db:
            db.execute(
                "INSERT INTO vote_submissions (id, election, tag, ciphertext_hash, "
                "ballot_snapshot, receipt_hash, status, receipt) SELECT "
                "gen_random_uuid(), %s, sha256(n::text::bytea), sha256(n::text::bytea),"
                "'{}', n::text, 'accepted', 'x' FROM generate_series(1, 5000) n",
                (election.id,),
            )
        before = _read_in_full(connection)
        service.arrive(connection, ballots)
        assert _read_in_full(connection) - before < 5000
    one.dispose()


def _nobodys(election: str, number: int) -> CastBallot:
    h = number.to_bytes(32)
    return CastBallot(
        election, uuid.UUID(int=number), h, h, h.hex(), b"", "", "", b"", b""
    )


def _read_in_full(connection: Connection) -> int:
    """Rows of the ballots' table that sequential scans have read so far."""
    connection.execute(text("SELECT pg_stat_force_next_flush()"))
    query = (
        "SELECT seq_tup_read FROM pg_stat_user_tables "
        "WHERE relname = 'vote_submissions'"
    )
    return int(connection.scalar(text(query)) or 0)
