"""A vote that several workflows hold, one after the other or at the same time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.faults.test_settling import settle
from tests.support.elections import MadeElection
from tests.support.engines import Engine
from tests.support.faults import Console, poisoned, token_held
from tests.support.processes import Running, eventually
from tests.support.voting import Ballot, Door, assert_problem
from votepyramid.elections.ceremony import CeremonyError

NAMES = iter(f"holders-{number}" for number in range(100))


@pytest.fixture
def election(calm: Engine) -> MadeElection:
    return calm.make_election(id=next(NAMES), voters=2, grace=0)


@pytest.fixture
def other_web(calm: Engine) -> Iterator[Running]:
    web = calm.start_web()
    yield web
    if web.alive():
        web.terminate()


@pytest.fixture
def doors(calm: Engine, election: MadeElection, other_web: Running) -> list[Door]:
    return calm.doors(election)


def _status(door: Door, ballot: Ballot) -> int:
    return door.receipt(ballot.receipt_hash).status_code


def _group(console: Console, election: MadeElection, known: Sequence[str] = ()) -> str:
    query = f"WorkflowType = 'submit_votes' AND ElectionId = '{election.id}'"
    return console.new_workflow_id(query, known=known)


def _sent_twice(doors: list[Door], console: Console, ballot: Ballot) -> list[str]:
    """The groups in which two web processes hold the same vote, in order."""
    election = doors[0].election
    assert doors[0].cast(ballot).status_code == 202
    first = _group(console, election)
    assert doors[1].cast(ballot).status_code == 202
    return [first, _group(console, election, [first])]


def _end(console: Console, workflow_id: str) -> None:
    console.run(console.handle(workflow_id).terminate("by the election office"))
    # Until the web process that follows it has noticed.
    time.sleep(2)


@pytest.mark.parametrize("ended", [0, 1])
def test_ending_one_of_two_groups_leaves_the_vote_to_the_other(
    calm: Engine,
    doors: list[Door],
    election: MadeElection,
    console: Console,
    ended: int,
) -> None:
    ballot = doors[0].ballot("v0")
    with token_held(election, ballot.bearer):
        groups = _sent_twice(doors, console, ballot)
        _end(console, groups[ended])
        assert _status(doors[0], ballot) == 202
        assert settle(calm, election)["running"] == [ballot.receipt_hash]
        assert _status(doors[0], ballot) == 202
        # Its voter was promised an answer, and nothing else may be said until then.
        election.close()
        assert [door.cast(ballot).status_code for door in doors] == [202, 202]
        election.pass_grace()
        with pytest.raises(CeremonyError, match="1 votes"):
            election.finish()
    assert eventually(lambda: _status(doors[1], ballot) == 200, 20)
    assert election.counts().whole()


def test_a_vote_is_ended_with_the_last_of_its_groups(
    doors: list[Door], election: MadeElection, console: Console
) -> None:
    ballot = doors[0].ballot("v0")
    with token_held(election, ballot.bearer):
        for group in _sent_twice(doors, console, ballot):
            assert _status(doors[0], ballot) == 202
            _end(console, group)
        assert_problem(doors[1].receipt(ballot.receipt_hash), 404, "receipt_unknown")
    assert doors[1].cast(ballot).status_code == 200
    assert election.counts().whole()


def test_settling_knows_the_group_that_the_vote_came_in_with_first(
    calm: Engine,
    doors: list[Door],
    election: MadeElection,
    console: Console,
    other_web: Running,
) -> None:
    ballot = doors[0].ballot("v0")
    with token_held(election, ballot.bearer):
        first, second = _sent_twice(doors, console, ballot)
        # Nobody is left to notice that the second group ends.
        other_web.kill()
        _end(console, second)
        assert settle(calm, election)["running"] == [ballot.receipt_hash]
        assert _status(doors[0], ballot) == 202
        _end(console, first)
        # What began to record it may still do so, for a while.
        assert settle(calm, election)["lately"] == [ballot.receipt_hash]
        assert _status(doors[0], ballot) == 202
        settled = [ballot.receipt_hash]
        assert eventually(lambda: settle(calm, election)["ended"] == settled, 25)
        assert _status(doors[0], ballot) == 404


@contextmanager
def _slow_notes(election: MadeElection) -> Iterator[None]:
    """Let a web process take four seconds for a note of who holds a vote."""
    with election.sql() as db:
        db.execute(
            "CREATE FUNCTION slow_notes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF current_setting('application_name') = 'votepyramid-web' "
            "THEN PERFORM pg_sleep(4); END IF; RETURN NEW; END $$"
        )
        db.execute(
            "CREATE TRIGGER slow_notes BEFORE INSERT ON vote_groups "
            "FOR EACH ROW EXECUTE FUNCTION slow_notes()"
        )
        try:
            yield
        finally:
            db.execute("DROP TRIGGER slow_notes ON vote_groups")
            db.execute("DROP FUNCTION slow_notes()")


def _revoke(election: MadeElection) -> None:
    with election.sql() as db:
        db.execute(
            "UPDATE vote_tokens SET revoked_at = now() WHERE election = %s",
            (election.id,),
        )


def _is_refused(door: Door, ballot: Ballot) -> bool:
    answer = door.receipt(ballot.receipt_hash)
    return answer.status_code == 200 and answer.json()["code"] == "token_revoked"


def test_a_vote_refused_by_itself_before_its_202_is_out(
    calm: Engine, election: MadeElection, console: Console
) -> None:
    (door,) = calm.doors(election)
    bad = door.ballot("v0")
    child = f"vote/{bad.receipt_hash}"
    with (
        ThreadPoolExecutor(1) as thread,
        poisoned(election, "vote_submissions", "receipt_hash", bad.receipt_hash),
        _slow_notes(election),
    ):
        cast = thread.submit(door.cast, bad)
        assert eventually(lambda: console.needing_attention() == [child])
        _revoke(election)
        console.finished(child)
        assert cast.result().status_code == 202
    assert eventually(lambda: _is_refused(door, bad), 5)
    assert not any(
        settle(calm, election)[how] for how in ("ended", "running", "lately")
    )


def test_a_vote_that_goes_on_alone_after_its_voter_has_left(
    calm: Engine, election: MadeElection, console: Console
) -> None:
    (door,) = calm.doors(election)
    bad = door.ballot("v0")
    child = f"vote/{bad.receipt_hash}"
    with poisoned(election, "vote_submissions", "receipt_hash", bad.receipt_hash):
        with token_held(election, bad.bearer):
            assert door.cast(bad).status_code == 202
        assert eventually(lambda: console.needing_attention() == [child], 20)
        group = _group(console, election)
        console.finished(group)
        assert settle(calm, election)["running"] == [bad.receipt_hash]
        assert _status(door, bad) == 202
        _revoke(election)
        console.finished(child)
    assert _is_refused(door, bad)
