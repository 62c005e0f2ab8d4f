"""Breaking parts on purpose: locks, poisoned rows, a frozen line to Temporal."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psutil
import psycopg
from psycopg import sql
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.client import Client, WorkflowHandle

from tests.support.databases import Database
from tests.support.elections import MadeElection
from tests.support.processes import eventually
from votepyramid.engine.codec import data_converter
from votepyramid.protocol.identifiers import token_id
from votepyramid.stack.ports import LOOPBACK
from votepyramid.stack.postgres import EmbeddedPostgres

T = TypeVar("T")

# Of Temporal's development server: nobody may ask it for lists and counts.
NO_LISTS = ("--dynamic-config-value", "frontend.namespaceRPS.visibility=0")
# What the one read at the door looks at: held, it holds up whoever casts or asks.
BALLOTS_LOCKED = "LOCK TABLE vote_submissions IN ACCESS EXCLUSIVE MODE"


@contextmanager
def holding(url: str, statement: str, *values: Any) -> Iterator[Callable[[], None]]:
    """Keep the locks that a statement takes; the yielded function lets them go."""
    with psycopg.connect(url) as db:
        db.execute(statement, values)
        yield db.rollback
        with contextlib.suppress(psycopg.OperationalError):
            db.rollback()


@contextmanager
def refusing(database: Database) -> Iterator[None]:
    """Postgres throws out all that are in the database, and lets nobody in."""
    name = sql.Identifier(database.name)
    limit = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}")
    with psycopg.connect(database.superuser_url, autocommit=True) as db:
        db.execute(limit.format(name, 0))
        try:
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND usename <> current_user"
            )
            yield
        finally:
            db.execute(limit.format(name, -1))


@contextmanager
def hanging(server: EmbeddedPostgres) -> Iterator[None]:
    """All of its processes are frozen: the kernel still takes what they are sent."""
    assert server.pid is not None
    postmaster = psutil.Process(server.pid)
    # The one that makes the others first, and last.
    postmaster.suspend()
    others = postmaster.children(recursive=True)
    try:
        for one in others:
            one.suspend()
        yield
    finally:
        for one in (*others, postmaster):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.resume()


@contextmanager
def token_held(election: MadeElection, bearer: Any) -> Iterator[Callable[[], None]]:
    """Lock a token's row: `record_votes` waits for it inside its transaction."""
    d = token_id(election.id, election.m, bearer)
    with holding(
        election.database.owner_url,
        "SELECT 1 FROM vote_tokens WHERE token = %s FOR UPDATE",
        d,
    ) as release:
        yield release


def wait_until_blocked(
    election: MadeElection,
    seconds: float = 10,
    program: str = "votepyramid-worker",
    transactions: int = 1,
) -> None:
    """Wait until a worker's (or another program's) transaction waits for a lock."""
    query = (
        "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE NOT granted AND datname = current_database() "
        f"AND application_name = '{program}'"
    )
    blocked = eventually(lambda: election.count(query) >= transactions, seconds)
    assert blocked, "nobody is blocked"


@contextmanager
def poisoned(
    election: MadeElection, table: str, column: str, value: str, says: str = "''"
) -> Iterator[Callable[[], None]]:
    """Let `table` refuse rows whose `column` is `value`; the function mends it.

    `says` is an expression that the database quotes in its error.
    """
    name = sql.Identifier(f"poison_{table}")
    with election.sql() as db:
        db.execute(
            sql.SQL(
                "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql "
                "AS $$ BEGIN IF NEW.{column}::text = {value} THEN RAISE EXCEPTION "
                "'refused: %', NEW.{column}; END IF; RETURN NEW; END $$"
            ).format(name=name, column=sql.Identifier(column), value=sql.Literal(value))
        )
        db.execute(
            sql.SQL(
                "CREATE TRIGGER {name} BEFORE INSERT ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION {name}()"
            ).format(name=name, table=sql.Identifier(table))
        )

    def mend() -> None:
        with election.sql() as db:
            db.execute(
                sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(
                    name, sql.Identifier(table)
                )
            )

    try:
        yield mend
    finally:
        mend()


@contextmanager
def events_refused(owner_url: str, kind: str) -> Iterator[None]:
    """The database takes no audit event of this kind."""
    when = f"BEFORE INSERT ON audit_events FOR EACH ROW WHEN (NEW.kind = '{kind}')"
    with _failing(owner_url, "audit_events", f"TRIGGER fails {when}"):
        yield


@contextmanager
def failing_at_commit(owner_url: str, table: str) -> Iterator[None]:
    """Whatever changes the table fails when all of it has been done."""
    changes = f"AFTER INSERT OR UPDATE OR DELETE ON {table}"
    when = f"{changes} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    with _failing(owner_url, table, f"CONSTRAINT TRIGGER fails {when}"):
        yield


@contextmanager
def _failing(owner_url: str, table: str, trigger: str) -> Iterator[None]:
    with psycopg.connect(owner_url, autocommit=True) as db:
        db.execute(
            "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'fails as the test wants it'; END $$"
        )
        # Not a parameter: its words are the tests' own.
        db.execute(sql.SQL(f"CREATE {trigger} EXECUTE FUNCTION fails()"))  # type: ignore[arg-type]
        try:
            yield
        finally:
            name = sql.Identifier(table)
            db.execute(sql.SQL("DROP TRIGGER fails ON {}").format(name))
            db.execute("DROP FUNCTION fails()")


class Wire:
    """A TCP relay that can go silent without closing: a network that ate packets.

    With `until` each connection gets to these bytes, and no further before `thaw`.
    """

    def __init__(self, address: str, until: bytes = b"") -> None:
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))
        self._flowing = threading.Event()
        self._flowing.set()
        self._muted = False
        self._until, self._further = until, threading.Event()
        self._listener = socket.create_server((LOOPBACK, 0))
        self._sockets: list[socket.socket] = []
        self.address = f"{LOOPBACK}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """From now on nothing passes, and nobody is told."""
        self._flowing.clear()

    def thaw(self) -> None:
        """What waited passes again."""
        self._flowing.set()
        self._further.set()

    def mute(self) -> None:
        """From now on what is asked arrives, and no answer comes back."""
        self._muted = True

    def cut(self) -> None:
        """End every connection, as the kernel of a killed process does.

        What is only frozen still looks alive to Temporal: for a minute it hands
        tasks to long polls that nobody reads, each lost for a task timeout.
        """
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                # A relay that waits inside recv() keeps a closed socket open.
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                threading.Thread(
                    target=self._relay, args=(near, far), daemon=True
                ).start()

    def _relay(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        with contextlib.suppress(OSError, ValueError), selectors.DefaultSelector() as s:
            for one in other:
                s.register(one, selectors.EVENT_READ)
            while True:
                for key, _ in s.select():
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    data = source.recv(65536)
                    self._flowing.wait()
                    if not data:
                        near.close()
                        far.close()
                        return
                    if not (self._muted and source is far):
                        other[source].sendall(data)
                    if self._until and self._until in data:
                        self._further.wait()


class Console:
    """What an operator sees of an engine's workflows, through Temporal's own API."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._loop = asyncio.new_event_loop()
        self.client = self.run(self._connect())

    async def _connect(self) -> Client:
        return await Client.connect(
            self._env["VOTEPYRAMID_TEMPORAL_ADDRESS"],
            namespace=self._env.get("VOTEPYRAMID_TEMPORAL_NAMESPACE", "default"),
            data_converter=data_converter(self._env["VOTEPYRAMID_CODEC_KEYS_FILE"]),
        )

    def run(self, awaitable: Awaitable[T]) -> T:
        async def awaiting() -> T:
            return await awaitable

        return self._loop.run_until_complete(awaiting())

    def handle(self, workflow_id: str) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(workflow_id)

    def workflow_ids(self, query: str, queue: str = "VOTE") -> list[str]:
        """Ids of this engine's workflows; `queue` is VOTE or CLAIM."""
        ours = f"TaskQueue = '{self._env[f'VOTEPYRAMID_{queue}_TASK_QUEUE']}'"

        async def listing() -> list[str]:
            found = self.client.list_workflows(f"{ours} AND ({query})")
            return sorted([one.id async for one in found])

        return self.run(listing())

    def new_workflow_id(
        self, query: str, queue: str = "VOTE", known: Sequence[str] = ()
    ) -> str:
        """The one that has started besides `known`: listed a moment after its start."""
        new: set[str] = set()

        def found() -> bool:
            new.update(set(self.workflow_ids(query, queue)) - {*known})
            return bool(new)

        assert eventually(found), query
        (workflow_id,) = new
        return workflow_id

    def needing_attention(self, queue: str = "VOTE") -> list[str]:
        # A workflow that was terminated keeps the flag it had.
        running = "NeedsAttention = true AND ExecutionStatus = 'Running'"
        return self.workflow_ids(running, queue)

    def status(self, workflow_id: str) -> str:
        """COMPLETED, RUNNING, …"""
        status = self.run(self.handle(workflow_id).describe()).status
        assert status is not None
        return status.name

    def attention(self, workflow_id: str) -> bool | None:
        """The workflow's NeedsAttention; None when it was never set."""
        found = self.run(self.handle(workflow_id).describe()).search_attributes
        values = found.get("NeedsAttention")
        return bool(values[0]) if values else None

    def describe(self, workflow_id: str) -> DescribeWorkflowExecutionResponse:
        return self.run(self.handle(workflow_id).describe()).raw_description

    def finished(self, workflow_id: str, seconds: float = 15) -> None:
        """Wait until a workflow is closed, and well."""
        assert eventually(lambda: self.status(workflow_id) == "COMPLETED", seconds), (
            self.status(workflow_id)
        )
