"""Opening an election, and bringing it to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.view import view_config

from admin_ui import forms
from admin_ui.permissions import Permission
from votepyramid.elections import ceremony, closing
from votepyramid.orders import service as orders
from votepyramid.orders.what import CloseEarly, Settle, What
from votepyramid.work.acting import checked_reason


def _open(request: Any, election: str) -> None:
    forms.read(request)
    ceremony.open_election(_engine(request), election)


def _close(request: Any, election: str) -> None:
    reason = checked_reason(forms.read(request, "reason")["reason"])
    desk = request.services.desk
    closing.start_or_join(_engine(request), desk, election, reason=reason)


def _call_off(request: Any, election: str) -> None:
    forms.read(request)
    closing.cancel(_engine(request), request.services.desk, election)


ACTS: dict[str, Callable[[Any, str], None]] = {
    "open": _open,
    "close": _close,
    "call-off": _call_off,
}
# What a second administrator has to agree to.
ORDERS: dict[str, What] = {"close-early": CloseEarly(), "settle": Settle()}


@view_config(
    route_name="election.act",
    request_method="POST",
    permission=Permission.ADMINISTER,
    unsafe=True,
    recent=True,
)
def act(request: Any) -> Any:
    """Does one of the acts."""
    election = request.matchdict["election"]
    do = ACTS.get(request.matchdict["act"])
    if do is None:
        raise HTTPNotFound
    do(request, election)
    request.services.closings.forget()
    return HTTPSeeOther(request.route_path("election", election=election))


@view_config(
    route_name="election.order",
    request_method="POST",
    permission=Permission.ADMINISTER,
    unsafe=True,
    recent=True,
)
def order(request: Any) -> Any:
    """Orders what a second administrator has to agree to."""
    what = ORDERS.get(request.matchdict["order"])
    if what is None:
        raise HTTPNotFound
    reason = forms.read(request, "reason")["reason"]
    given = orders.give(_engine(request), request.matchdict["election"], what, reason)
    return HTTPSeeOther(request.route_path("order", order=given))


def _engine(request: Any) -> Any:
    return request.services.engine_of(request.identity.name)
