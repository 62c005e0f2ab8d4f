"""Carrying an order out: a piece each time, and each piece by one process alone."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, func, select, update

from votepyramid.audit.operators import acting_as, who
from votepyramid.elections import closing
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.engine.control import Desk, WorkRefused
from votepyramid.engine.listing import Listing
from votepyramid.orders import service
from votepyramid.orders.models import OrderRow
from votepyramid.orders.service import Order, OrderRefused, State
from votepyramid.orders.what import ActOnAll, ActOnOne, CloseEarly, Settle
from votepyramid.people import service as people
from votepyramid.votes import settling
from votepyramid.votes.settling import Settled
from votepyramid.work import acting
from votepyramid.work import service as work
from votepyramid.work.service import Act

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Piece:
    """How long one piece may go on, and after how many workflows it is noted."""

    seconds: float = 3.0
    workflows: int = 10


PIECE = Piece()
# Places of an order, beside those in a list of workflows: what may have been asked of
# Temporal, and what is left when it was.
_ASKED, _SETTLING = "asked", "settling"
# What a run has come to, when it was done and nobody heard.
_COMES_TO = {
    Act.CANCEL: work.State.CANCELED,
    Act.TERMINATE: work.State.TERMINATED,
    Act.RESET: work.State.TERMINATED,
}
_DONE_BEFORE = "It had been done before, and the answer was lost."
# Nothing more is done, and what was done can be looked at.
_OVER = (State.DONE, State.STOPPED, State.EXPIRED)
# Who may do what nobody else has to agree to.
_OPERATING = frozenset({"operator", people.ADMINISTRATOR})


@dataclass(frozen=True)
class _Hands:
    """What an order is carried out with; `engine` acts for who gave it."""

    order: Order
    engine: Engine
    desk: Desk
    listing: Listing
    piece: Piece

    def note(self, **progress: Any) -> bool:
        """Write how far it is; whether somebody has stopped it since."""
        with self.engine.begin() as connection:
            changed = update(OrderRow).where(OrderRow.id == self.order.id)
            noted = changed.values(progress).returning(OrderRow.stopped_at)
            return connection.execute(noted).scalar_one() is not None

    def over(self, **progress: Any) -> bool:
        """Write that nothing more is to be done."""
        return self.note(**progress, over_at=func.clock_timestamp())


def carry_on(
    engine: Engine,
    desk: Desk,
    listing: Listing,
    order: uuid.UUID,
    piece: Piece = Piece(),
) -> Order:
    """Do the next piece; the order as it stands then.

    It ends when one who stands behind it may not order it any more. Raises
    OrderRefused for one that nobody agreed to or that another process is at, and
    TemporalAway: what was done before is noted, and it can be gone on with.
    """
    with _by_oneself(engine, order) as connection:
        found = service.get(connection, order)
        if found.state is State.GOING_ON:
            if not _ended_without(engine, found):
                _say_who(connection, found)
                doer = acting_as(engine, found.given_by)
                hands = _Hands(found, doer, desk, listing, piece)
                _DO[type(found.what)](hands, found.acts_on)
        elif found.state not in _OVER:
            raise OrderRefused(f"this order is {found.state}: it is not carried out")
        return service.get(connection, order)


def _ended_without(engine: Engine, order: Order) -> bool:
    """Whether it has ended, as those who stand behind it may not order it any more."""
    if order.what.alone:
        giver = people.somebody(engine, order.given_by)
        may = not giver.disabled and _OPERATING & set(giver.roles)
        gone, lost = None if may else giver.name, "operator or administrator"
    else:
        with engine.connect() as connection:
            gone = service.missing(connection, order.given_by, order.decided_by)
        lost = "administrator"
    if gone is None:
        return False
    with engine.begin() as connection:
        said = f"{gone} is no {lost} any more: order it anew."
        service.end(connection, order.id, None, said)
    return True


def _say_who(connection: Connection, order: Order) -> None:
    """Its events name who gave it; who pressed for this piece is in the log alone."""
    pressed_by = who(connection)
    if pressed_by != order.given_by:
        log.info(
            "order_gone_on",
            order=str(order.id),
            by=pressed_by,
            given_by=order.given_by,
        )


def _act_on_one(hands: _Hands, what: ActOnOne) -> None:
    if hands.order.place != _SETTLING:
        # Before it is: an answer may get lost, and the act be done.
        if hands.note(place=_ASKED):
            return
        progress = _done_to_one(hands, what)
        hands.listing.forget()
        hands.note(**progress, place=_SETTLING)
    _settle_rest(hands, what)


def _done_to_one(hands: _Hands, what: ActOnOne) -> dict[str, Any]:
    asked = _asked(hands.order, what)
    try:
        done = work.act(hands.engine, hands.desk, asked, what.workflow_id, what.run_id)
    except WorkRefused as error:
        if hands.order.place == _ASKED and _is_done(hands, what):
            return {"done": 1, "said": _DONE_BEFORE}
        return {"refused": 1, "said": str(error)}
    return {"done": 1, "votes": done.votes, "said": done.said}


def _is_done(hands: _Hands, what: ActOnOne) -> bool:
    """Whether the run has come to what it was asked to, and was not answered."""
    found = work.show(hands.engine, hands.desk, what.workflow_id, what.run_id)
    return found.work.state is _COMES_TO.get(what.act)


def _act_on_all(hands: _Hands, what: ActOnAll) -> None:
    order, asked = hands.order, _asked(hands.order, what)
    place, said = order.place, order.said
    if place == _SETTLING:
        _settle_rest(hands, what)
        return
    done, votes, refused = order.done, order.votes, order.refused
    until = time.monotonic() + hands.piece.seconds
    while True:
        batch = work.act_on_all(
            hands.engine,
            hands.desk,
            hands.listing,
            asked,
            what.wanted,
            after=place,
            size=hands.piece.workflows,
        )
        done, votes = done + len(batch.done), votes + batch.votes
        refused, place = refused + len(batch.refused), batch.next
        said = [said, *batch.refused.values()][-1]
        progress: dict[str, Any] = {"done": done, "votes": votes, "refused": refused}
        if batch.done or batch.refused:
            progress["went_on_at"] = func.clock_timestamp()
        at_end = place is None and batch.away is None
        stopped = hands.note(
            **progress, place=_SETTLING if at_end else place, said=said
        )
        if batch.away is not None:
            raise batch.away
        if at_end:
            _settle_rest(hands, what)
        if stopped or at_end or time.monotonic() >= until:
            return


def _settle(hands: _Hands, what: Settle) -> None:
    hands.note(done=1, place=_SETTLING)
    _settle_rest(hands, what)


def _settle_rest(hands: _Hands, what: ActOnOne | ActOnAll | Settle) -> None:
    """The last of what ends workflows: no vote of theirs stays under way for ever.

    Most are settled as soon as their workflow has ended. What is left is what an
    attempt may still record, or what an answer or a process was lost over.
    """
    order, progress = hands.order, dict[str, Any]()
    if not isinstance(what, Settle) and what.act not in (Act.CANCEL, Act.TERMINATE):
        hands.over()
        return
    settled = settling.settle(
        hands.engine,
        hands.desk.settings,
        order.election or "",
        holder=what.workflow_id if isinstance(what, ActOnOne) else None,
        **_why(order),
    )
    if isinstance(what, Settle):
        progress["votes"] = order.votes + len(settled.ended)
    said = _left(settled)
    if said or isinstance(what, Settle) or order.place == _SETTLING:
        progress["said"] = said or "No vote is left to settle."
    if not settled.lately:
        hands.over(**progress)
    elif not hands.note(**progress):
        time.sleep(hands.piece.seconds)


def _left(settled: Settled) -> str:
    waiting = (
        "that an attempt may be under way with, though no workflow has them: they are "
        "looked at again, for 15 seconds at most"
    )
    said = (
        (settled.ended, "as if never sent now"),
        (settled.running, "still under way, in workflows that have not ended"),
        (settled.lately, waiting),
    )
    return " ".join(f"Votes {what}: {len(votes)}." for votes, what in said if votes)


def _close_early(hands: _Hands, _what: CloseEarly) -> None:
    election = hands.order.election or ""
    try:
        closing.start_or_join(
            hands.engine, hands.desk, election, early=True, **_why(hands.order)
        )
    except CeremonyError as error:
        hands.over(refused=1, said=str(error))
    else:
        hands.over(done=1, said="The closing is under way.")


_DO: dict[type[Any], Callable[[_Hands, Any], None]] = {
    ActOnOne: _act_on_one,
    ActOnAll: _act_on_all,
    CloseEarly: _close_early,
    Settle: _settle,
}


def _why(order: Order) -> dict[str, str | None]:
    return {"reason": order.reason, "second": order.decided_by}


def _asked(order: Order, what: ActOnOne | ActOnAll) -> acting.Order:
    return acting.Order(
        what.act,
        order.reason,
        by=order.given_by,
        second=order.decided_by,
        before=what.before,
    )


@contextmanager
def _by_oneself(engine: Engine, order: uuid.UUID) -> Iterator[Connection]:
    """Hold a lock of the session: a transaction would be ended when it takes long.

    Raises OrderRefused when another process or page is at the order.
    """
    key = order.int & (2**63 - 1)
    with engine.connect() as held:
        connection = held.execution_options(isolation_level="AUTOCOMMIT")
        if not connection.scalar(select(func.pg_try_advisory_lock(key))):
            raise OrderRefused("it is being done at this moment: look again")
        try:
            yield connection
        finally:
            connection.execute(select(func.pg_advisory_unlock(key)))
