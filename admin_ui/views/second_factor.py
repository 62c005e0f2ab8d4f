"""Security keys: showing one, registering and removing one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.view import view_config
from sqlalchemy import Engine

from admin_ui import forms
from admin_ui.addresses import local, wanted
from admin_ui.permissions import Permission
from admin_ui.views.account import account
from votepyramid.people import authenticators
from votepyramid.people import second_factor as keys
from votepyramid.people.errors import PeopleError
from votepyramid.people.sessions import Session


@view_config(
    route_name="second_factor",
    request_method="GET",
    permission=Permission.ENTER,
    renderer="second_factor.jinja2",
)
def show_page(request: Any) -> Any:
    """Asks for the second factor, of whoever has one to show."""
    back = wanted(request)
    if not authenticators.due(request.identity):
        return HTTPSeeOther(back)
    return {"next": back, **_begun(request, keys.begin_assertion)}


@view_config(
    route_name="second_factor",
    request_method="POST",
    permission=Permission.ENTER,
    unsafe=True,
    renderer="second_factor.jinja2",
)
def show(request: Any) -> Any:
    """Takes a security key's answer, and goes on to where the person wanted to be."""
    form = forms.read(request, "answer", "next", longest=keys.MAX_ANSWER)
    services, back = request.services, local(request, form["next"])
    engine = services.engine_of(request.identity.name)
    try:
        keys.finish_assertion(engine, request.identity, services.origin, form["answer"])
    except PeopleError as error:
        again = _begun(request, keys.begin_assertion)
        request.response.status_code = 403
        return {"next": back, **again, "problem": str(error)}
    return HTTPSeeOther(back)


@view_config(
    route_name="account.key",
    request_method="GET",
    permission=Permission.OWN,
    recent=True,
    renderer="register_key.jinja2",
)
def register_page(request: Any) -> dict[str, Any]:
    """Asks for a security key and a name for it."""
    return _begun(request, keys.begin_registration)


@view_config(
    route_name="account.key",
    request_method="POST",
    permission=Permission.OWN,
    unsafe=True,
    recent=True,
    renderer="register_key.jinja2",
)
def register(request: Any) -> Any:
    """Keeps a security key; this session has then shown it."""
    form = forms.read(request, "name", "answer", longest=keys.MAX_ANSWER)
    me, services = request.identity, request.services
    engine = services.engine_of(me.name)
    try:
        keys.finish_registration(
            engine, me, services.origin, form["name"], form["answer"]
        )
    except PeopleError as error:
        again = _begun(request, keys.begin_registration)
        request.response.status_code = 422
        return {**again, "problem": str(error), "name": form["name"]}
    return HTTPSeeOther(request.route_path("account"))


@view_config(
    route_name="account.key.remove",
    request_method="POST",
    permission=Permission.OWN,
    unsafe=True,
    recent=True,
    renderer="account.jinja2",
)
def remove(request: Any) -> Any:
    """Takes away one of the person's security keys; their other sessions end."""
    form = forms.read(request, "key")
    me = request.identity
    try:
        authenticators.remove(request.services.engine_of(me.name), me, form["key"])
    except PeopleError as error:
        request.response.status_code = 422
        return account(request) | {"key_problem": str(error)}
    return HTTPSeeOther(request.route_path("account"))


def _begun(
    request: Any, begin: Callable[[Engine, Session, str], str]
) -> dict[str, Any]:
    """What the browser is asked, as JSON; or why nothing can be asked."""
    services = request.services
    try:
        return {"options": begin(services.engine, request.identity, services.origin)}
    except PeopleError as error:
        request.response.status_code = 409
        return {"problem": str(error)}
