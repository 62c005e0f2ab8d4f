"""One vote of a voter who was answered with 202, stuck at a step of its workflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2
import psycopg
from psycopg import sql

from tests.support.elections import Listed, MadeElection
from tests.support.faults import Console, poisoned
from tests.support.processes import eventually
from tests.support.voting import Ballot, Door, at_once
from votepyramid.audit.models import AuditEvent
from votepyramid.stack.roles import APPLICATION
from votepyramid.votes.models import VoteSubmission
from workflows.messages import CHECK_ELIGIBILITY, ENCRYPT_BALLOTS, RECORD_VOTES

# Under the statement timeout of five seconds.
SLOW_S = 4.5
STEPS = (CHECK_ELIGIBILITY, ENCRYPT_BALLOTS, RECORD_VOTES)


@dataclass(frozen=True)
class Stuck:
    """A vote, the workflow that has it, and the function that mends the fault."""

    ballot: Ballot
    workflow_id: str
    door: Door
    election: MadeElection
    console: Console
    mend: Callable[[], None]

    def status(self) -> httpx2.Response:
        """What its voter is told who asks."""
        return self.door.receipt(self.ballot.receipt_hash)

    def pending(self) -> Any:
        """The step that is tried again, as Temporal has it; None when there is none."""
        found = self.console.describe(self.workflow_id).pending_activities
        return found[0] if found else None

    def recorded_once(self, votes: int = 1) -> None:
        """The vote stands, once, and its token can carry no other."""
        receipt = self.door.insist(self.ballot)
        assert self.door.cast(self.ballot).content == receipt
        other = self.door.seal(self.ballot.bearer)
        assert self.door.cast(other).json()["code"] == "token_used"
        counts = self.election.counts()
        assert counts.whole() and counts.accepted == votes


@contextmanager
def stuck_at(
    step: str, door: Door, election: MadeElection, console: Console, voter: str = "v0"
) -> Iterator[Stuck]:
    """Cast a vote that sticks at `step` until it is mended, or at the end."""
    ballot = door.ballot(voter)
    # One that was enveloped before leaves a data key in the worker's memory.
    with _FAULTS[step](election, ballot) as mend:
        answer = door.cast(ballot)
        assert answer.status_code == 202, answer.text
        query = f"ElectionId = '{election.id}' AND NeedsAttention = true "
        query += "AND ExecutionStatus = 'Running'"
        workflow_id = console.new_workflow_id(query)
        made = Stuck(ballot, workflow_id, door, election, console, mend)
        assert eventually(lambda: _failed(made.pending()))
        assert made.pending().activity_type.name == step
        yield made


@contextmanager
def stuck_votes(
    door: Door, election: MadeElection, console: Console, votes: int
) -> Iterator[list[Ballot]]:
    """Each goes on by itself: they come one at a time, and the table takes none."""
    ballots = at_once(lambda n: door.ballot(f"v{n}"), range(votes))
    table = VoteSubmission.__tablename__
    with poisoned(election, table, "election", election.id):
        for ballot in ballots:
            assert door.cast(ballot).status_code == 202
        query = f"ElectionId = '{election.id}' AND NeedsAttention = true"
        assert eventually(lambda: len(console.workflow_ids(query)) == votes)
        for ballot in ballots:
            child = f"vote/{ballot.receipt_hash}"
            assert eventually(partial(_records, console, child))
        yield ballots


def _records(console: Console, workflow_id: str) -> bool:
    """Whether it has come to its last step."""
    pending = console.describe(workflow_id).pending_activities
    return [one.activity_type.name for one in pending] == [RECORD_VOTES]


def recorded_slowly(election: MadeElection) -> AbstractContextManager[None]:
    """An attempt to record a vote takes SLOW_S, and then commits."""
    return _slowly(election, VoteSubmission.__tablename__)


def noted_slowly(election: MadeElection) -> AbstractContextManager[None]:
    """An event takes SLOW_S."""
    return _slowly(election, AuditEvent.__tablename__)


@contextmanager
def _slowly(election: MadeElection, of: str) -> Iterator[None]:
    name, table = sql.Identifier(f"slow_{of}"), sql.Identifier(of)
    with election.sql() as db:
        db.execute(
            sql.SQL(
                "CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_sleep({}); RETURN NEW; END $$"
            ).format(name, sql.Literal(SLOW_S))
        )
        db.execute(
            sql.SQL(
                "CREATE TRIGGER {} BEFORE INSERT ON {} FOR EACH ROW "
                "EXECUTE FUNCTION {}()"
            ).format(name, table, name)
        )
    try:
        yield
    finally:
        with election.sql() as db:
            db.execute(sql.SQL("DROP TRIGGER {} ON {}").format(name, table))


def attempt_under_way(election: MadeElection) -> None:
    """Wait for an attempt that is being recorded slowly."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' "
    query += "AND datname = current_database()"
    # Of other roles' sessions a superuser alone sees what they wait for.
    with psycopg.connect(election.database.superuser_url, autocommit=True) as db:
        assert eventually(lambda: db.execute(query).fetchone() != (0,), 20)


def _failed(pending: Any) -> bool:
    return pending is not None and pending.HasField("last_failure")


@contextmanager
def _unreadable_roster(
    election: MadeElection, _ballot: Ballot
) -> Iterator[Callable[[], None]]:
    """It is read again for a token that is older than it."""
    election.import_roster([Listed(f"v{n}", age=41) for n in range(8)])
    with _taken(election, "SELECT", "roster_rows") as mend:
        yield mend


@contextmanager
def _no_new_keys(
    election: MadeElection, _ballot: Ballot
) -> Iterator[Callable[[], None]]:
    with _taken(election, "INSERT", "wrapped_keys") as mend:
        yield mend


@contextmanager
def _taken(
    election: MadeElection, right: str, table: str
) -> Iterator[Callable[[], None]]:
    """Take a right on a table away from the application."""

    def run(statement: str) -> None:
        with election.sql() as db:
            db.execute(
                sql.SQL(statement).format(
                    sql.SQL(right), sql.Identifier(table), sql.Identifier(APPLICATION)
                )
            )

    def mend() -> None:
        run("GRANT {} ON {} TO {}")

    run("REVOKE {} ON {} FROM {}")
    try:
        yield mend
    finally:
        mend()


@contextmanager
def _refused(election: MadeElection, ballot: Ballot) -> Iterator[Callable[[], None]]:
    table = VoteSubmission.__tablename__
    with poisoned(election, table, "receipt_hash", ballot.receipt_hash) as mend:
        yield mend


_FAULTS = {
    CHECK_ELIGIBILITY: _unreadable_roster,
    ENCRYPT_BALLOTS: _no_new_keys,
    RECORD_VOTES: _refused,
}
