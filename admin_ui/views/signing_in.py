"""Signing in and out, setting up, and signing in again: with a passphrase."""

from __future__ import annotations

from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from admin_ui import forms
from admin_ui.addresses import local, wanted
from admin_ui.permissions import Permission
from admin_ui.policy import RECENT_S, NotSignedIn, cookie_name
from admin_ui.rendering import seconds
from votepyramid.people import service as people
from votepyramid.people import sessions, setup, signing_in
from votepyramid.people.errors import PasswordRefused, PeopleError, SessionEnded
from votepyramid.web.policy import ANYONE


@view_config(
    route_name="sign_in",
    request_method="GET",
    permission=ANYONE,
    renderer="sign_in.jinja2",
)
def sign_in_page(request: Any) -> dict[str, Any]:
    """Asks for a name and a passphrase."""
    return {"next": wanted(request)}


@view_config(
    route_name="sign_in",
    request_method="POST",
    permission=ANYONE,
    unsafe=True,
    renderer="sign_in.jinja2",
)
def sign_in(request: Any) -> Any:
    """Begins a session, and goes on to where the person wanted to be."""
    form = forms.read(request, "name", "passphrase", "next")
    engine = request.services.engine
    try:
        person = signing_in.sign_in(engine, form["name"], form["passphrase"])
        opened = sessions.open(engine, person.id)
    except PeopleError as error:
        request.response.status_code = 403
        return {"problem": str(error), "name": form["name"], "next": form["next"]}
    return with_session(request, local(request, form["next"]), opened.secret)


@view_config(
    route_name="sign_in_again",
    request_method="GET",
    permission=Permission.OWN,
    renderer="sign_in.jinja2",
)
def sign_in_again_page(request: Any) -> dict[str, Any]:
    """Asks its person to sign in again before a dangerous act."""
    back = wanted(request)
    me = people.somebody(request.services.engine, request.identity.name)
    return {"next": back, "again": seconds(RECENT_S), "me": me}


@view_config(
    route_name="sign_in_again",
    request_method="POST",
    permission=Permission.OWN,
    unsafe=True,
    renderer="sign_in.jinja2",
)
def sign_in_again(request: Any) -> Any:
    """Notes in the session that its person was here just now."""
    form = forms.read(request, "passphrase", "next")
    engine = request.services.engine
    try:
        signing_in.sign_in_again(engine, request.identity, form["passphrase"])
    except SessionEnded:
        raise NotSignedIn from None
    except PeopleError as error:
        request.response.status_code = 403
        return sign_in_again_page(request) | {
            "problem": str(error),
            "next": form["next"],
        }
    return HTTPSeeOther(local(request, form["next"]))


@view_config(
    route_name="sign_out",
    request_method="POST",
    permission=Permission.ENTER,
    unsafe=True,
)
def sign_out(request: Any) -> Response:
    """Ends this session."""
    sessions.sign_out(request.services.engine, request.identity)
    response = HTTPSeeOther(request.route_path("sign_in"))
    response.delete_cookie(cookie_name(request), path="/")
    return response


@view_config(
    route_name="set_up",
    request_method="GET",
    permission=ANYONE,
    renderer="set_up.jinja2",
)
def set_up_page(_request: Any) -> dict[str, Any]:
    """Asks for the code of a set-up link."""
    return {}


@view_config(
    route_name="set_up",
    request_method="POST",
    permission=ANYONE,
    unsafe=True,
    renderer="set_up.jinja2",
)
def set_up(request: Any) -> Any:
    """Makes the first administrator, or sets an invited person's passphrase."""
    form = forms.read(request, "code", "name", "passphrase", "repeated")
    engine = request.services.engine
    try:
        if form["passphrase"] != form["repeated"]:
            raise PasswordRefused("the two passphrases differ: write them again")
        setup.accept(engine, form["code"], form["name"], form["passphrase"])
    except PeopleError as error:
        request.response.status_code = 403
        return {"problem": str(error), "code": form["code"], "name": form["name"]}
    return HTTPSeeOther(request.route_path("sign_in"))


def with_session(request: Any, target: str, secret: str) -> Response:
    """On to the target, with the cookie of a session that has just begun."""
    response = HTTPSeeOther(target)
    response.set_cookie(
        cookie_name(request),
        secret,
        max_age=int(sessions.LIFETIME.total_seconds()),
        path="/",
        secure=request.services.origin.startswith("https:"),
        httponly=True,
        samesite="Lax",
    )
    return response
