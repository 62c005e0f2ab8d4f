"""Orders end: stopped, left alone for an hour, or with nobody behind them."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
import structlog
from psycopg import errors

from tests.orders.conftest import PASSPHRASE, WHY, Office
from tests.orders.test_orders import agree, events, give, go_on, state, stuck
from tests.support.elections import MadeElection
from tests.support.faults import Wire
from tests.support.processes import eventually
from votepyramid.engine.acts import Act
from votepyramid.engine.control import Desk
from votepyramid.engine.listing import Filter, Listing
from votepyramid.orders import carrying, service
from votepyramid.orders.carrying import Piece
from votepyramid.orders.service import OrderRefused, State
from votepyramid.orders.what import ActOnAll, CloseEarly
from votepyramid.people import service as people
from votepyramid.people import setup

DAY = timedelta(hours=24)


def pause_all(office: Office, election: MadeElection) -> uuid.UUID:
    wanted = Filter(election=election.id, kind="submit_vote")
    return give(office, election, ActOnAll(Act.PAUSE, wanted))


def terminate_all(office: Office, election: MadeElection, **more: float) -> uuid.UUID:
    wanted = Filter(election=election.id, kind="submit_vote", **more)  # type: ignore[arg-type]
    return give(office, election, ActOnAll(Act.TERMINATE, wanted))


def test_one_that_is_going_on_is_stopped(office: Office) -> None:
    with stuck(office, 2) as (election, door, ballots):
        go_on(office, pause_all(office, election), Piece())
        order = terminate_all(office, election)
        with pytest.raises(OrderRefused, match="is not going on, it is waiting"):
            service.stop(office.by("ada"), order)
        agree(office, order)
        assert go_on(office, order).done == 1
        service.stop(office.by("bea"), order)
        found = go_on(office, order)
        assert (found.state, found.stopped_by, found.done) == (State.STOPPED, "bea", 1)
        with pytest.raises(OrderRefused, match="it is stopped"):
            service.stop(office.by("ada"), order)
        assert len(events(election, "work_terminated")) == 1
        answers = [door.receipt(one.receipt_hash).status_code for one in ballots]
        assert sorted(answers) == [202, 404]
        (event,) = events(election, "order_stopped")
        assert (event["by"], event["done"], event["votes"]) == ("bea", 1, 1)
        assert (event["order"], event["reason"]) == ("terminate_all", WHY)
        wanted = Filter(election=election.id)
        go_on(office, give(office, election, ActOnAll(Act.RESUME, wanted)), Piece())
    for ballot in ballots:
        door.insist(ballot)


def test_a_piece_that_is_under_way_heeds_it(office: Office) -> None:
    with stuck(office, 3) as (election, door, ballots):
        wire = Wire(office.engine.env["VOTEPYRAMID_TEMPORAL_ADDRESS"])
        settings = office.engine.settings.__class__(
            **{**vars(office.engine.settings), "temporal_address": wire.address}
        )
        desk = Desk(settings, patience=60)
        line = office.pages, desk, Listing(desk)
        order = pause_all(office, election)
        carrying.carry_on(*line, order, Piece(seconds=0, workflows=1))
        wire.freeze()
        with ThreadPoolExecutor(1) as beside:
            piece = beside.submit(carrying.carry_on, *line, order, Piece(60, 1))
            assert eventually(lambda: _under_way(office, order))
            service.stop(office.by("ada"), order)
            wire.thaw()
            found = piece.result()
        wire.cut()
        assert (found.state, found.done + found.refused < 3) == (State.STOPPED, True)
        wanted = Filter(election=election.id)
        go_on(office, give(office, election, ActOnAll(Act.RESUME, wanted)), Piece())
    for ballot in ballots:
        door.insist(ballot)


def _under_way(office: Office, order: uuid.UUID) -> bool:
    """Whether a process holds the order's lock."""
    key = order.int & (2**63 - 1)
    query = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
        "AND classid::bigint = %s AND objid::bigint = %s"
    )
    with psycopg.connect(office.engine.database.owner_url) as db:
        return db.execute(query, [key >> 32, key & (2**32 - 1)]).fetchone() != (0,)


def test_the_database_itself_stops_once(office: Office) -> None:
    order = give(office, office.election(), CloseEarly())
    stops = "UPDATE orders SET stopped_at = now(), stopped_by = %s WHERE id = %s"
    with psycopg.connect(office.engine.database.owner_url) as db:
        with pytest.raises(errors.CheckViolation), db.transaction():
            db.execute(stops, ["ada", order])
        agree(office, order)
        db.execute(stops, ["ada", order])
        db.commit()
        with pytest.raises(errors.CheckViolation), db.transaction():
            db.execute(stops, ["bea", order])


def agreed_long_ago(office: Office, order: uuid.UUID) -> None:
    with psycopg.connect(office.engine.database.owner_url) as db:
        db.execute(
            "UPDATE orders SET outcome = 'agreed', decided_by = 'bea', "
            "decided_at = now() - interval '61 minutes', "
            "given_at = now() - interval '62 minutes' WHERE id = %s",
            [order],
        )


def test_one_that_stands_still_expires(office: Office) -> None:
    with stuck(office, 1) as (election, door, (ballot,)):
        order = terminate_all(office, election)
        agreed_long_ago(office, order)
        found = go_on(office, order)
        assert (found.state, found.done) == (State.EXPIRED, 0)
        with pytest.raises(OrderRefused, match="it is expired"):
            service.stop(office.by("ada"), order)
        assert events(election, "work_terminated") == []
        # One that gets further has an hour from then on.
        with psycopg.connect(office.engine.database.owner_url) as db:
            db.execute("UPDATE orders SET went_on_at = now() WHERE id = %s", [order])
        assert state(office, order).state is State.GOING_ON
    door.insist(ballot)


def test_both_are_administrators_at_each_piece(office: Office) -> None:
    election = office.election()
    order = give(office, election, CloseEarly())
    agree(office, order)
    people.set_roles(office.by("bea"), "ada", ["operator"])
    try:
        found = go_on(office, order)
    finally:
        people.set_roles(office.by("bea"), "ada", ["administrator"])
    assert (found.state, found.stopped_by) == (State.STOPPED, None)
    assert "ada is no administrator any more" in (found.said or "")
    assert events(election, "closing_asked") == []
    assert len(events(election, "order_stopped")) == 1
    # Nor does it begin again with the role.
    assert go_on(office, order).state is State.STOPPED


@pytest.mark.parametrize("ends", ["disabled", "viewer"])
def test_what_needs_one_person_needs_that_one(office: Office, ends: str) -> None:
    """Nobody goes on with it in the name of somebody who may not do it any more."""
    name = f"olga-{ends}"
    ada = office.by("ada")
    link = setup.invite(ada, name, ["operator"])
    setup.accept(office.pages, link.secret, name, PASSPHRASE)
    with stuck(office, 2) as (election, door, ballots):
        what = ActOnAll(Act.PAUSE, Filter(election=election.id, kind="submit_vote"))
        order = service.give(office.by(name), election.id, what, WHY)
        line = office.desk, office.listing, order, Piece(seconds=0, workflows=1)
        with structlog.testing.capture_logs() as logged:
            assert carrying.carry_on(office.by(name), *line).done == 1
            people.set_roles(ada, name, ["administrator"])
            carrying.carry_on(office.by("bea"), *line)
        (said,) = [one for one in logged if one["event"] == "order_gone_on"]
        assert (said["by"], said["given_by"]) == ("bea", name)
        assert said["order"] == str(order)
        before = len(events(election, "work_paused"))
        again = service.give(office.by(name), election.id, what, WHY)
        if ends == "disabled":
            people.disable(ada, name)
        else:
            people.set_roles(ada, name, ["viewer", "auditor"])
        found = carrying.carry_on(office.by("bea"), *line[:2], again, line[3])
        assert (found.state, found.stopped_by, found.done) == (State.STOPPED, None, 0)
        assert f"{name} is no operator or administrator any more" in (found.said or "")
        assert len(events(election, "work_paused")) == before
        resume = ActOnAll(Act.RESUME, Filter(election=election.id))
        go_on(office, give(office, election, resume), Piece())
    for ballot in ballots:
        door.insist(ballot)


@pytest.mark.parametrize("more", [{}, {"younger_than": 3600.0}])
def test_what_came_later_is_left_alone(office: Office, more: dict[str, float]) -> None:
    election = office.election(1)
    order = terminate_all(office, election, **more)
    with stuck(office, 1, election) as (_, door, (ballot,)):
        agree(office, order)
        found = go_on(office, order, Piece())
        assert (found.state, found.done, found.refused) == (State.DONE, 0, 0)
        assert door.receipt(ballot.receipt_hash).status_code == 202
        later = terminate_all(office, election, **more)
        agree(office, later)
        assert go_on(office, later, Piece()).done == 1
    door.insist(ballot)


def test_who_let_somebody_in_is_not_their_second(office: Office) -> None:
    link = setup.invite(office.by("ada"), "eve", ["administrator"])
    setup.accept(office.pages, link.secret, "eve", PASSPHRASE)
    election = office.election()
    for giver, other in (("ada", "eve"), ("eve", "ada")):
        order = service.give(office.by(giver), election.id, CloseEarly(), WHY)
        with pytest.raises(OrderRefused, match=r"may be one person: .* ada let in"):
            agree(office, order, other, apart=DAY)
        assert state(office, order).state is State.WAITING
        agree(office, order, other)
