"""A person's own account: ways to sign in, security keys and sessions."""

from __future__ import annotations

from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.view import view_config

from admin_ui import forms
from admin_ui.permissions import Permission
from votepyramid.people import authenticators, identities, sessions
from votepyramid.people import service as people
from votepyramid.people.errors import PasswordRefused, PeopleError


@view_config(
    route_name="account",
    request_method="GET",
    permission=Permission.OWN,
    renderer="account.jinja2",
)
def account(request: Any) -> dict[str, Any]:
    """Who one is here, and where one is signed in."""
    me, engine = request.identity, request.services.engine
    return {
        "me": me,
        "somebody": people.somebody(engine, me.name),
        "keys": authenticators.listed(engine, me.name),
        "identities": identities.listed(engine, me.name),
        "sessions": sessions.listed(engine, me.name),
    }


@view_config(
    route_name="account.password",
    request_method="POST",
    permission=Permission.OWN,
    unsafe=True,
    recent=True,
    renderer="account.jinja2",
)
def change_passphrase(request: Any) -> Any:
    """Sets a new passphrase; every other session of the person ends."""
    form = forms.read(request, "passphrase", "repeated")
    me = request.identity
    engine = request.services.engine_of(me.name)
    try:
        if form["passphrase"] != form["repeated"]:
            raise PasswordRefused("the two passphrases differ: write them again")
        people.set_password(engine, me.name, form["passphrase"], keep=me.id)
    except PeopleError as error:
        request.response.status_code = 422
        return account(request) | {"problem": str(error)}
    return HTTPSeeOther(request.route_path("account"))


@view_config(
    route_name="account.identity.remove",
    request_method="POST",
    permission=Permission.OWN,
    unsafe=True,
    recent=True,
    renderer="account.jinja2",
)
def remove_identity(request: Any) -> Any:
    """Signs the person in there no more; every other session of theirs ends."""
    form = forms.read(request, "issuer")
    me = request.identity
    try:
        identities.remove(request.services.engine_of(me.name), me, form["issuer"])
    except PeopleError as error:
        request.response.status_code = 422
        return account(request) | {"identity_problem": str(error)}
    return HTTPSeeOther(request.route_path("account"))


@view_config(
    route_name="account.session",
    request_method="POST",
    permission=Permission.OWN,
    unsafe=True,
)
def end_session(request: Any) -> Any:
    """Ends one of the person's sessions."""
    form = forms.read(request, "session")
    me = request.identity
    engine = request.services.engine_of(me.name)
    sessions.revoke(engine, me.name, forms.unhex(form["session"], 32))
    return HTTPSeeOther(request.route_path("account"))
