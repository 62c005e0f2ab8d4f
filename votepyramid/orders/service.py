"""Orders: what a second administrator has to agree to, and what takes many requests.

    give(engine, election, what, reason)          somebody orders it; it waits
    agree(engine, id, apart)                      a second administrator agrees
    decline(engine, id)                           or says no
    carrying.carry_on(engine, desk, listing, id)  do the next piece of it
    stop(engine, id)                              and no more of it
    listed(connection), get(connection, id)       what there is

Who acts is whom `engine` acts for. What changes a vote's fate is done for two: the
act's own audit event names both, and the reason. An order that waits expires after
LIFETIME. One that was agreed to is carried out piece by piece, each request a piece, so
that a page or a process that goes away takes nothing with it. Each piece looks anew at
what it acts on, and what was done before is found to be done. One that has not got
further for PATIENCE expires, too: nobody means it any more.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from votepyramid.audit import service as audit
from votepyramid.audit.operators import who
from votepyramid.elections import service as elections
from votepyramid.orders.models import OrderRow
from votepyramid.orders.what import ActOnAll, What, as_json, read
from votepyramid.people import service as people
from votepyramid.people import vouching
from votepyramid.work.acting import checked_reason

LIFETIME = timedelta(hours=4)
PATIENCE = timedelta(hours=1)
SHOWN = 50
_DECIDED = {
    "agreed": "order_agreed",
    "declined": "order_declined",
    "withdrawn": "order_withdrawn",
}
STOPPED = "order_stopped"
_TABLE: Any = OrderRow.__table__


class OrderRefused(Exception):
    """An order cannot be given, decided or carried out; the message says why."""


class State(StrEnum):
    """Where an order stands; `waiting` is for a second administrator."""

    WAITING = "waiting"
    GOING_ON = "going on"
    DONE = "done"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Order:
    """An order as it stands. Times are UTC.

    `until` is when it expires, unless it is decided or gets further. Of one that was
    stopped, `stopped_by` is None where it ended as an administrator was none any more.
    `done` workflows were acted on so far, with `votes` that nothing else had, and
    `refused` could not be; `said` is the last sentence about it.
    """

    id: uuid.UUID
    election: str | None
    what: What
    reason: str
    state: State
    given_by: str
    given_at: datetime
    until: datetime
    decided_by: str | None
    decided_at: datetime | None
    place: str | None
    done: int
    votes: int
    refused: int
    said: str | None
    stopped_by: str | None
    stopped_at: datetime | None
    over_at: datetime | None

    @property
    def acts_on(self) -> What:
        """Of a list, what had begun when it was given: no workflow of a later day."""
        if isinstance(self.what, ActOnAll):
            return self.what.as_of(self.given_at)
        return self.what


def give(engine: Engine, election: str | None, what: What, reason: str) -> uuid.UUID:
    """Order something; what changes a vote's fate waits, and is an audit event.

    Raises OrderRefused, WorkRefused for a reason that is none, and
    Refused(ELECTION_UNKNOWN).
    """
    if election is None and not what.alone:
        raise OrderRefused("this is done to one election: choose which")
    row = {
        "election": election,
        "asked": as_json(what),
        "alone": what.alone,
        "reason": checked_reason(reason),
    }
    with engine.begin() as connection:
        if election is not None:
            elections.get(connection, election)
        made = insert(OrderRow).values(**row, given_by=who(connection))
        order = connection.execute(made.returning(OrderRow.id)).scalar_one()
        found = get(connection, order)
        if not what.alone:
            _append(connection, "order_given", found)
    return found.id


def agree(engine: Engine, order: uuid.UUID, apart: timedelta) -> None:
    """A second administrator agrees; then it is carried out.

    For the time `apart` the two are not two where one let the other in. Raises
    OrderRefused.
    """
    with _deciding(engine, order) as (connection, found, by):
        if found.given_by == by:
            raise OrderRefused("another administrator has to agree to what you ordered")
        gone = missing(connection, found.given_by, by)
        if gone is not None:
            raise OrderRefused(f"{gone} is no administrator any more: decline it")
        _refuse_one_person(connection, found.given_by, by, apart)
        _decide(connection, found, by, "agreed")


def decline(engine: Engine, order: uuid.UUID) -> None:
    """A second administrator says no, or who gave it takes it back.

    Raises OrderRefused.
    """
    with _deciding(engine, order) as (connection, found, by):
        own = found.given_by == by
        _decide(connection, found, by, "withdrawn" if own else "declined")


def stop(engine: Engine, order: uuid.UUID) -> None:
    """Whoever acts ends one that is going on: what was done stays done, and no more is.

    A piece that is under way ends after the workflows it is at, PIECE.workflows at
    most. Raises OrderRefused.
    """
    with engine.begin() as connection:
        end(connection, order, who(connection), None)


def end(
    connection: Connection, order: uuid.UUID, by: str | None, said: str | None
) -> None:
    """End one that is going on, in the caller's transaction; `by` None for nobody.

    Raises OrderRefused.
    """
    found = get(connection, order)
    ended = (
        update(OrderRow)
        .where(
            OrderRow.id == order,
            OrderRow.stopped_at.is_(None),
            OrderRow.over_at.is_(None),
        )
        .values(
            stopped_by=by,
            stopped_at=func.clock_timestamp(),
            said=func.coalesce(said, OrderRow.said),
        )
        .returning(OrderRow.done, OrderRow.votes)
    )
    row = None
    if found.state is State.GOING_ON:
        row = connection.execute(ended).first()
    if row is None:
        state = get(connection, order).state
        raise OrderRefused(f"this order is not going on, it is {state}")
    if not found.what.alone:
        _append(connection, STOPPED, found, done=row.done, votes=row.votes)


def missing(connection: Connection, *names: str | None) -> str | None:
    """The first of the people who is no administrator now."""
    here = people.administers
    return next((one for one in names if one and not here(connection, one)), None)


def get(connection: Connection, order: uuid.UUID) -> Order:
    """Raises OrderRefused."""
    row = connection.execute(
        select(_TABLE, func.clock_timestamp().label("clock")).where(
            OrderRow.id == order
        )
    ).first()
    if row is None:
        raise OrderRefused("there is no such order")
    return _order(row)


def listed(connection: Connection) -> list[Order]:
    """The newest SHOWN; those that wait or go on first."""
    rows = connection.execute(
        select(_TABLE, func.clock_timestamp().label("clock"))
        .order_by(OrderRow.given_at.desc())
        .limit(SHOWN)
    )
    found = [_order(row) for row in rows]
    return sorted(found, key=lambda o: o.state not in (State.WAITING, State.GOING_ON))


def waiting(connection: Connection) -> int:
    """How many wait for a second administrator."""
    now = func.clock_timestamp()
    counted = connection.scalar(
        select(func.count()).where(
            OrderRow.outcome.is_(None),
            OrderRow.alone.is_(False),
            OrderRow.given_at > now - LIFETIME,
        )
    )
    return counted or 0


def _refuse_one_person(
    connection: Connection, giver: str, by: str, apart: timedelta
) -> None:
    """Raises OrderRefused where one of them may be the other one, too."""
    behind = vouching.behind_both(connection, giver, by, apart)
    if behind:
        raise OrderRefused(
            f"{giver} and {by} may be one person: within the last "
            f"{apart / timedelta(hours=1):g} hours {behind[0]} let in one of them, or "
            "somebody who did. Invited, made an administrator, enabled, or parted from "
            "a security key, an account is no second one for that long "
            "(second_after_hours). Let an administrator agree who was let in by neither"
        )


@contextmanager
def _deciding(
    engine: Engine, order: uuid.UUID
) -> Iterator[tuple[Connection, Order, str]]:
    """A transaction, an order that waits, and who decides."""
    with engine.begin() as connection:
        found = get(connection, order)
        if found.state is not State.WAITING:
            raise OrderRefused(
                f"this order does not wait any more, it is {found.state}"
            )
        yield connection, found, who(connection)


def _decide(connection: Connection, found: Order, by: str, outcome: str) -> None:
    decided = connection.execute(
        update(OrderRow)
        .where(OrderRow.id == found.id, OrderRow.outcome.is_(None))
        .values(outcome=outcome, decided_by=by, decided_at=func.clock_timestamp())
    )
    if decided.rowcount != 1:
        raise OrderRefused("somebody decided at this very moment: look at it again")
    _append(connection, _DECIDED[outcome], found)


def _append(connection: Connection, kind: str, order: Order, **counts: int) -> None:
    what = order.what
    said = {"order": what.name, "about": what.about, "reason": order.reason}
    detail: dict[str, str | int] = {**said, **counts}
    event = audit.Event(kind, detail=detail)
    audit.append(connection, order.election or "", [event])


def _order(row: Row[Any]) -> Order:
    fields = {name: getattr(row, name) for name in _SAME}
    until = _until(row)
    return Order(
        **fields,
        what=read(row.asked),
        state=_state(row, until),
        until=until,
    )


_SAME = (
    "id",
    "election",
    "reason",
    "given_by",
    "given_at",
    "decided_by",
    "decided_at",
    "place",
    "done",
    "votes",
    "refused",
    "said",
    "stopped_by",
    "stopped_at",
    "over_at",
)


def _until(row: Row[Any]) -> datetime:
    if row.alone or row.outcome == "agreed":
        last: list[datetime | None] = [row.given_at, row.decided_at, row.went_on_at]
        return max(filter(None, last)) + PATIENCE
    given: datetime = row.given_at
    return given + LIFETIME


def _state(row: Row[Any], until: datetime) -> State:
    if row.over_at is not None:
        return State.DONE
    if row.stopped_at is not None:
        return State.STOPPED
    begun = row.alone or row.outcome == "agreed"
    if row.outcome is not None and not begun:
        return State(row.outcome)
    if row.clock >= until:
        return State.EXPIRED
    return State.GOING_ON if begun else State.WAITING
