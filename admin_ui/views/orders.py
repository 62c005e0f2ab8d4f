"""Orders: what waits for a second administrator, and what is being carried out."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.renderers import render_to_response
from pyramid.response import Response
from pyramid.view import view_config

from admin_ui import forms, pressing
from admin_ui.permissions import Permission
from votepyramid.db import reading
from votepyramid.orders import carrying, service
from votepyramid.orders.service import OrderRefused, State


@view_config(
    route_name="orders",
    request_method="GET",
    permission=Permission.READ,
    renderer="orders.jinja2",
)
def orders(request: Any) -> dict[str, Any]:
    """The newest, those that wait or go on first."""
    with reading(request.services.engine) as connection:
        return {"orders": service.listed(connection)}


@view_config(
    route_name="order",
    request_method="GET",
    permission=Permission.READ,
    renderer="order.jinja2",
)
def order(request: Any) -> dict[str, Any]:
    """One, with what it would mean now while it waits.

    While it goes on, this page goes on with it if that was pressed just now.
    """
    services = request.services
    with reading(services.engine) as connection:
        found = _found(connection, request)
    waits = found.state is State.WAITING
    trial = services.trial(found.election, found.acts_on) if waits else None
    by_itself = pressing.was_pressed(request, found.id)
    return {"order": found, "found": trial, "by_itself": by_itself}


@view_config(
    route_name="order.agree",
    request_method="POST",
    permission=Permission.ADMINISTER,
    unsafe=True,
    recent=True,
)
def agree(request: Any) -> Any:
    """A second administrator agrees, and it is begun."""
    forms.read(request)
    engine, settings = _engine(request), request.services.settings
    apart = timedelta(hours=settings.second_after_hours)
    service.agree(engine, _id(request), apart)
    return go_on(request)


@view_config(
    route_name="order.decline",
    request_method="POST",
    permission=Permission.ADMINISTER,
    unsafe=True,
)
def decline(request: Any) -> Any:
    """A second administrator says no, or who gave it takes it back."""
    forms.read(request)
    service.decline(_engine(request), _id(request))
    return _back(request)


@view_config(
    route_name="order.stop",
    request_method="POST",
    permission=Permission.ADMINISTER,
    unsafe=True,
)
def stop(request: Any) -> Any:
    """Ends one that is going on; what was done stays done."""
    forms.read(request)
    service.stop(_engine(request), _id(request))
    return _back(request)


@view_config(
    route_name="order.go_on",
    request_method="POST",
    permission=Permission.OPERATE,
    unsafe=True,
)
def go_on(request: Any) -> Any:
    """Does the next piece of it."""
    forms.read(request)
    services, wanted = request.services, _id(request)
    engine = _engine(request)
    try:
        found = carrying.carry_on(engine, services.desk, services.listing, wanted)
    except OrderRefused as error:
        if "HX-Request" not in request.headers:
            raise
        return _not_gone_on(request, str(error))
    services.forget_work()
    more = found.state is State.GOING_ON
    return pressing.pressed(request, wanted) if more else _back(request)


def _not_gone_on(request: Any, why: str) -> Response:
    """The order's page as it is now, for a page that goes on by itself."""
    values = {**order(request), "by_itself": True, "refused": why}
    response = render_to_response("order.jinja2", values, request=request)
    response.status_code = 409
    return response


def _found(connection: Any, request: Any) -> service.Order:
    try:
        return service.get(connection, _id(request))
    except OrderRefused:
        raise HTTPNotFound from None


def _engine(request: Any) -> Any:
    return request.services.engine_of(request.identity.name)


def _id(request: Any) -> uuid.UUID:
    return forms.named(request, "order")


def _back(request: Any) -> HTTPSeeOther:
    return HTTPSeeOther(request.route_path("order", order=_id(request)))
