"""One act on all that a filter finds: said first, and none done twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine as SqlEngine
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from tests.support.elections import MadeElection
from tests.support.engines import Engine, Engines
from tests.support.faults import Console
from tests.support.processes import eventually
from tests.support.voting import Door
from tests.work.conftest import Run, said
from tests.work.stuck import stuck_votes
from votepyramid.engine.acts import Act
from votepyramid.engine.control import Desk
from votepyramid.engine.listing import ELECTION, Filter, Listing
from votepyramid.settings import Settings
from votepyramid.stack import credentials
from votepyramid.work.acting import Order
from votepyramid.work.service import act_on_all
from workflows.messages import SUBMIT_VOTE

VOTES = 5
WHY = "the office said so"


@pytest.fixture
def engine(engines: Engines) -> Iterator[Engine]:
    """Its own: with so many stuck, a web process sheds for a while."""
    with engines.running("bulk", groups_in_flight=1) as started:
        yield started


@pytest.fixture
def console(engine: Engine) -> Console:
    return Console(engine.env)


def test_by_the_command(
    door: Door, election: MadeElection, console: Console, run: Run
) -> None:
    wanted = ("--all", "--election", election.id, "--reason", WHY, "--json")
    with stuck_votes(door, election, console, VOTES) as ballots:
        ids = sorted(f"vote/{one.receipt_hash}" for one in ballots)
        found = said(run("terminate", *wanted, "--dry-run"))
        assert sorted(found["workflows"]) == ids
        assert (found["done"], found["votes"]) == (False, VOTES)
        asked = run("terminate", *wanted, input="n\n")
        assert asked.exit_code == 1
        assert f"{VOTES} workflows; {VOTES} votes only there" in asked.stderr
        paused = said(run("pause", *wanted, "--yes"))
        assert sorted(paused["workflows"]) == ids and paused["refused"] == {}
        again = said(run("pause", *wanted, "--yes"))
        assert again["workflows"] == [] and sorted(again["refused"]) == ids
        done = said(run("terminate", *wanted, "--yes"))
        assert sorted(done["workflows"]) == ids and done["done"]
        assert election.count(EVENTS, election.id) == VOTES
    for ballot in ballots:
        door.insist(ballot)
    counts = election.counts()
    assert counts.whole() and counts.accepted == VOTES
    for words in (["votes/x", *wanted], wanted[3:], ["--all", *wanted[3:]]):
        assert "--all" in said(run("retry", *words), 1)["error"]


EVENTS = (
    "SELECT count(*) FROM audit_events WHERE election = %s "
    "AND kind = 'work_terminated' AND detail ->> 'reason' = 'the office said so'"
)


def test_a_page_at_a_time_by_two_administrators(
    door: Door,
    election: MadeElection,
    console: Console,
    pages: SqlEngine,
    settings: Settings,
) -> None:
    order = Order(Act.RESET, WHY, by="Ada", second="Bo", before="record_votes")
    wanted = Filter(election=election.id, kind="submit_vote")
    seen: list[str] = []
    with stuck_votes(door, election, console, VOTES) as ballots:
        desk = Desk(settings)
        listing = Listing(desk)
        after: str | None = None
        while True:
            batch = act_on_all(pages, desk, listing, order, wanted, after=after, size=2)
            assert batch.refused == {} and batch.away is None
            assert batch.votes == len(batch.done) <= 2
            seen += [one.workflow_id for one in batch.done]
            after = batch.next
            if after is None:
                break
    assert set(seen) >= {f"vote/{one.receipt_hash}" for one in ballots}
    with election.sql() as db:
        query = "SELECT detail FROM audit_events WHERE election = %s AND kind = %s"
        details = db.execute(query, [election.id, "work_reset"]).fetchall()
    assert {(one[0]["by"], one[0]["second"]) for one in details} == {("Ada", "Bo")}
    for ballot in ballots:
        door.insist(ballot)
    counts = election.counts()
    assert counts.whole() and counts.accepted == VOTES


@contextmanager
def written_with_another_key(
    engine: Engine, election: MadeElection, folder: Path
) -> Iterator[str]:
    """The id of a workflow whose payloads nobody here opens."""
    other = Console({**engine.env, "VOTEPYRAMID_CODEC_KEYS_FILE": _codec_keys(folder)})
    workflow_id = f"vote/{'ab' * 32}"
    start = other.client.start_workflow(
        SUBMIT_VOTE,
        "sealed",
        id=workflow_id,
        task_queue=engine.settings.vote_task_queue,
        search_attributes=TypedSearchAttributes(
            [SearchAttributePair(ELECTION, election.id)]
        ),
    )
    handle = other.run(start)
    try:
        yield workflow_id
    finally:
        other.run(handle.terminate())


def _codec_keys(folder: Path) -> str:
    return credentials.make(folder / "other")["codec_keys_file"]


def test_one_that_cannot_be_opened_stands_in_nobodys_way(
    engine: Engine,
    door: Door,
    election: MadeElection,
    console: Console,
    pages: SqlEngine,
    settings: Settings,
    tmp_path: Path,
) -> None:
    wanted = Filter(election=election.id)
    desk = Desk(settings)
    with (
        stuck_votes(door, election, console, 1) as (ballot,),
        written_with_another_key(engine, election, tmp_path) as sealed,
    ):
        query = f"ElectionId = '{election.id}' AND ExecutionStatus = 'Running'"
        assert eventually(lambda: len(console.workflow_ids(query)) == 2)
        order = Order(Act.PAUSE, WHY, by="Ada")
        batch = act_on_all(pages, desk, Listing(desk), order, wanted)
        assert [one.workflow_id for one in batch.done] == [
            f"vote/{ballot.receipt_hash}"
        ]
        assert list(batch.refused) == [sealed]
        assert "codec_keys_file" in batch.refused[sealed]
        assert batch.next is None
        resume = Order(Act.RESUME, WHY, by="Ada")
        act_on_all(pages, desk, Listing(desk), resume, wanted)
    door.insist(ballot)
