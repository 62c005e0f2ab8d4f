"""Orders: decided once, by another, and carried out piece by piece."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.orders.conftest import WHY, Office
from tests.support.elections import MadeElection
from tests.support.faults import Wire, holding
from tests.support.processes import stopping
from tests.support.voting import Ballot, Door, assert_problem
from tests.work.stuck import stuck_votes
from votepyramid.engine.acts import Act
from votepyramid.engine.control import Desk, TemporalAway, WorkRefused
from votepyramid.engine.listing import Filter, Listing
from votepyramid.errors import Refused
from votepyramid.orders import carrying, service, trying
from votepyramid.orders.carrying import Piece
from votepyramid.orders.service import Order, OrderRefused, State
from votepyramid.orders.trying import Question
from votepyramid.orders.what import ActOnAll, ActOnOne, CloseEarly, Settle, What
from votepyramid.people import service as people

# More than are looked at one by one.
VOTES = trying.PAGES + 1
ONE_AT_A_TIME = Piece(seconds=0, workflows=1)


def give(office: Office, election: MadeElection | None, what: What) -> uuid.UUID:
    return service.give(office.by("ada"), election and election.id, what, WHY)


def agree(
    office: Office, order: uuid.UUID, by: str = "bea", apart: timedelta = timedelta()
) -> None:
    service.agree(office.by(by), order, apart)


def state(office: Office, order: uuid.UUID) -> Order:
    with office.pages.connect() as connection:
        return service.get(connection, order)


def go_on(office: Office, order: uuid.UUID, piece: Piece = ONE_AT_A_TIME) -> Order:
    return carrying.carry_on(office.pages, office.desk, office.listing, order, piece)


def events(election: MadeElection, kind: str) -> list[dict[str, Any]]:
    query = "SELECT detail FROM audit_events WHERE election = %s AND kind = %s "
    with election.sql() as db:
        rows = db.execute(query + "ORDER BY id", [election.id, kind])
        return [row[0] for row in rows]


@contextmanager
def stuck(
    office: Office, votes: int = VOTES, election: MadeElection | None = None
) -> Iterator[tuple[MadeElection, Door, list[Ballot]]]:
    election = election or office.election(votes)
    (door,) = office.engine.doors(election)
    # By another web process: one that had many votes stuck sheds for a while.
    web = office.engine.start_web()
    beside = Door(web.url, election)
    with stopping(web), stuck_votes(beside, election, office.console, votes) as ballots:
        yield election, door, ballots


def test_decided_once_and_by_another(office: Office) -> None:
    election = office.election()
    order = give(office, election, CloseEarly())
    assert state(office, order).state is State.WAITING
    with pytest.raises(OrderRefused, match="another administrator"):
        agree(office, order, "ada")
    with pytest.raises(OrderRefused, match="is waiting"):
        go_on(office, order)
    agree(office, order)
    with pytest.raises(OrderRefused, match="does not wait any more"):
        agree(office, order)
    with pytest.raises(OrderRefused, match="does not wait any more"):
        service.decline(office.by("bea"), order)
    found = state(office, order)
    assert (found.given_by, found.decided_by) == ("ada", "bea")
    assert found.state is State.GOING_ON
    (given,) = events(election, "order_given")
    expected = {"by": "ada", "order": "close_early", "about": "election", "reason": WHY}
    assert given == expected
    assert events(election, "order_agreed") == [{**expected, "by": "bea"}]


def test_both_are_administrators_still(office: Office) -> None:
    election = office.election()
    order = give(office, election, CloseEarly())
    people.set_roles(office.by("bea"), "ada", ["viewer"])
    with pytest.raises(OrderRefused, match="ada is no administrator any more"):
        agree(office, order)
    people.set_roles(office.by("bea"), "ada", ["administrator"])
    people.disable(office.by("ada"), "bea")
    with pytest.raises(OrderRefused, match="bea is no administrator any more"):
        agree(office, order)
    people.enable(office.by("ada"), "bea")
    agree(office, order)


def test_two_who_decide_at_once_decide_once(office: Office) -> None:
    election = office.election()
    order = give(office, election, Settle())

    def decide(number: int) -> bool:
        try:
            if number % 2:
                agree(office, order)
            else:
                service.decline(office.by("bea"), order)
        except OrderRefused:
            return False
        return True

    with ThreadPoolExecutor(4) as crowd:
        assert sum(crowd.map(decide, range(4))) == 1
    decided = [*events(election, "order_agreed"), *events(election, "order_declined")]
    assert len(decided) == 1


def test_the_database_itself_wants_two_people(office: Office) -> None:
    election = office.election()
    order = give(office, election, CloseEarly())
    decided = "UPDATE orders SET outcome = %s, decided_by = %s, decided_at = now() "
    with psycopg.connect(office.engine.database.owner_url) as db:
        for outcome, by in (
            ("agreed", "ada"),
            ("declined", "ada"),
            ("withdrawn", "bea"),
        ):
            with pytest.raises(errors.CheckViolation), db.transaction():
                db.execute(decided + "WHERE id = %s", [outcome, by, order])
        with pytest.raises(errors.ForeignKeyViolation), db.transaction():
            db.execute(decided + "WHERE id = %s", ["agreed", "nobody", order])
        with pytest.raises(errors.CheckViolation), db.transaction():
            db.execute("UPDATE orders SET over_at = now() WHERE id = %s", [order])
        db.execute(decided + "WHERE id = %s", ["agreed", "bea", order])
        with pytest.raises(errors.CheckViolation), db.transaction():
            db.execute(
                "UPDATE orders SET outcome = NULL, decided_by = NULL, "
                "decided_at = NULL WHERE id = %s",
                [order],
            )


def test_what_cannot_be_ordered(office: Office) -> None:
    election = office.election()
    ends_all = ActOnAll(Act.TERMINATE, Filter())
    with pytest.raises(OrderRefused, match="choose which"):
        give(office, None, ends_all)
    with pytest.raises(WorkRefused, match="a reason"):
        service.give(office.by("ada"), election.id, Settle(), "two\nlines")
    with pytest.raises(Refused):
        service.give(office.by("ada"), "nowhere", Settle(), WHY)
    with pytest.raises(OrderRefused, match="no such order"):
        state(office, uuid.uuid4())


def test_a_piece_at_a_time(office: Office) -> None:
    with stuck(office) as (election, door, ballots):
        # No attempt may be under way: then each vote is settled at once.
        wanted = Filter(election=election.id, kind="submit_vote")
        pause = give(office, election, ActOnAll(Act.PAUSE, wanted))
        assert go_on(office, pause, Piece()).done == VOTES
        what = ActOnAll(Act.TERMINATE, wanted)
        asked = office.pages, office.desk, office.listing, Question(election.id, what)
        trial = trying.try_out(*asked)
        assert (trial.found, trial.possible, trial.votes) == (VOTES, VOTES, VOTES)
        assert not trial.more
        some = trying.try_out(*asked, size=1)
        assert (some.found, some.looked_at, some.more) == (VOTES, trying.PAGES, True)
        assert some.votes == trying.PAGES
        assert events(election, "work_terminated") == []
        order = give(office, election, what)
        agree(office, order)
        seen = []
        while (found := go_on(office, order)).state is State.GOING_ON:
            seen.append(found.done)
        # Each piece was one workflow; the last may find that there are no more.
        assert seen[: VOTES - 1] == list(range(1, VOTES))
        assert (found.state, found.done, found.votes) == (State.DONE, VOTES, VOTES)
        assert go_on(office, order) == found
        ended = events(election, "work_terminated")
        assert {(e["by"], e["second"], e["reason"]) for e in ended} == {
            ("ada", "bea", WHY)
        }
        assert len(ended) == VOTES
        for ballot in ballots:
            answer = door.receipt(ballot.receipt_hash)
            assert_problem(answer, 404, "receipt_unknown")
    for ballot in ballots:
        door.insist(ballot)
    assert election.counts().whole() and election.counts().accepted == VOTES


def test_one_process_at_a_time(office: Office) -> None:
    """Whoever comes second is told so."""
    order = service.give(
        office.by("ada"), None, ActOnAll(Act.RETRY, Filter(older_than=86_400)), WHY
    )
    key = order.int & (2**63 - 1)
    url = office.engine.database.owner_url
    with (
        holding(url, "SELECT pg_advisory_xact_lock(%s)", key),
        pytest.raises(OrderRefused, match="at this moment"),
    ):
        go_on(office, order)
    assert go_on(office, order).state is State.DONE


def test_temporal_away_in_the_middle(office: Office) -> None:
    """What was done before stands in the order; it is gone on with from there."""
    with stuck(office, 2) as (election, door, ballots):
        wire = Wire(office.engine.env["VOTEPYRAMID_TEMPORAL_ADDRESS"])
        settings = office.engine.settings.__class__(
            **{**vars(office.engine.settings), "temporal_address": wire.address}
        )
        desk = Desk(settings, patience=1)
        what = ActOnAll(Act.PAUSE, Filter(election=election.id, kind="submit_vote"))
        order = give(office, election, what)
        listing = Listing(desk)
        carrying.carry_on(office.pages, desk, listing, order, ONE_AT_A_TIME)
        wire.freeze()
        with pytest.raises(TemporalAway):
            carrying.carry_on(office.pages, desk, listing, order, ONE_AT_A_TIME)
        before = state(office, order)
        assert (before.state, before.done) == (State.GOING_ON, 1)
        wire.cut()
        while (found := go_on(office, order)).state is State.GOING_ON:
            pass
        assert found.done + found.refused == 2
        for ballot in ballots:
            workflow = f"vote/{ballot.receipt_hash}"
            (pending,) = office.console.describe(workflow).pending_activities
            assert pending.paused
        resume = give(
            office, election, ActOnAll(Act.RESUME, Filter(election=election.id))
        )
    while go_on(office, resume).state is State.GOING_ON:
        pass
    for ballot in ballots:
        door.insist(ballot)


def test_a_run_that_has_gone_on_is_not_touched(office: Office) -> None:
    with stuck(office, 1) as (election, door, (ballot,)):
        workflow = f"vote/{ballot.receipt_hash}"
        run = office.console.describe(workflow).workflow_execution_info.execution.run_id
        order = give(office, election, ActOnOne(Act.TERMINATE, workflow, run))
    receipt = door.insist(ballot)
    office.console.finished(workflow)
    agree(office, order)
    found = go_on(office, order)
    assert (found.state, found.done, found.refused) == (State.DONE, 0, 1)
    assert "already" in (found.said or "")
    assert door.cast(ballot).content == receipt
    assert events(election, "work_terminated") == []


def test_votes_are_settled_by_two(office: Office) -> None:
    with stuck(office, 1) as (election, door, (ballot,)):
        # In Temporal's console nobody notes that the vote's workflow is gone.
        handle = office.console.handle(f"vote/{ballot.receipt_hash}")
        office.console.run(handle.terminate())
        assert door.receipt(ballot.receipt_hash).status_code == 202
        order = give(office, election, Settle())
        asked = Question(election.id, Settle())
        trial = trying.try_out(office.pages, office.desk, office.listing, asked)
        assert trial.votes == 1 and "as if never sent" in trial.said
        agree(office, order)
        found = go_on(office, order)
        assert (found.state, found.votes) == (State.DONE, 1)
        assert_problem(door.receipt(ballot.receipt_hash), 404, "receipt_unknown")
    (event,) = events(election, "votes_settled")
    expected = {"by": "ada", "second": "bea", "reason": WHY, "ended": 1}
    assert event == expected
    door.insist(ballot)


def test_the_pages_open_elections_and_change_nothing_else_of_them(
    office: Office,
) -> None:
    election = office.engine.make_election(id="not-yet-open", open=False)
    opens = "UPDATE elections SET status = %s, opened_at = %s WHERE id = %s"
    with psycopg.connect(office.engine.database.admin_url) as db:
        for status in ("closed", "finished", "unlinked", "created"):
            with pytest.raises(errors.CheckViolation), db.transaction():
                db.execute(opens, [status, None, election.id])
        # When it was opened is the database's to say.
        db.execute(opens, ["open", "2001-01-01", election.id])
        with pytest.raises(errors.CheckViolation), db.transaction():
            db.execute(opens, ["created", None, election.id])
    query = (
        "SELECT opened_at > now() - interval '1 minute' FROM elections WHERE id = %s"
    )
    assert election.count(query, election.id)
