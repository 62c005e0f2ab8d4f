"""Who may run elections: inviting, roles, disabling, unlocking, lost keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.view import view_config
from sqlalchemy import Engine

from admin_ui import forms
from admin_ui.permissions import Permission
from votepyramid.people import authenticators, identities, service, sessions, setup
from votepyramid.people.errors import NoSuchPerson, PeopleError


@view_config(
    route_name="people",
    request_method="GET",
    permission=Permission.AUDIT,
    renderer="people.jinja2",
)
def people(request: Any) -> dict[str, Any]:
    """Everybody, and for administrators the form that invites."""
    found = service.everybody(request.services.engine)
    return {"people": found, "roles": service.ROLES}


@view_config(
    route_name="people",
    request_method="POST",
    permission=Permission.ADMINISTER,
    unsafe=True,
    recent=True,
    renderer="people.jinja2",
)
def invite(request: Any) -> Any:
    """Makes a person and shows their one-time link, once."""
    form = forms.read(request, "name", many="role")
    roles = forms.chosen(request, "role")
    engine = request.services.engine_of(request.identity.name)
    try:
        link = setup.invite(engine, form["name"], roles)
    except PeopleError as error:
        request.response.status_code = 422
        return people(request) | {"problem": str(error), "asked": form["name"]}
    return people(request) | {"link": link, "invited": form["name"]}


@view_config(
    route_name="person",
    request_method="GET",
    permission=Permission.AUDIT,
    renderer="person.jinja2",
)
def person(request: Any) -> dict[str, Any]:
    """One person: roles, ways to sign in, sessions, and what can be done."""
    name = request.matchdict["name"]
    engine = request.services.engine
    try:
        somebody = service.somebody(engine, name)
    except NoSuchPerson:
        raise HTTPNotFound from None
    return {
        "somebody": somebody,
        "keys": authenticators.listed(engine, name),
        "identities": identities.listed(engine, name),
        "sessions": sessions.listed(engine, name),
        "roles": service.ROLES,
    }


Act = Callable[[Engine, str, Any], Any]


def _plain(act: Callable[[Engine, str], Any]) -> Act:
    def done(engine: Engine, name: str, request: Any) -> Any:
        forms.read(request)
        return act(engine, name)

    return done


def _set_roles(engine: Engine, name: str, request: Any) -> None:
    forms.read(request, many="role")
    service.set_roles(engine, name, forms.chosen(request, "role"))


def _remove_key(engine: Engine, name: str, request: Any) -> None:
    key = forms.read(request, "key")["key"]
    if name == request.identity.name:
        # Nobody gets rid of their own last key by coming here.
        authenticators.remove(engine, request.identity, key)
    else:
        authenticators.remove_for(engine, name, key)


def _remove_identity(engine: Engine, name: str, request: Any) -> None:
    issuer = forms.read(request, "issuer")["issuer"]
    if name == request.identity.name:
        identities.remove(engine, request.identity, issuer)
    else:
        identities.remove_for(engine, name, issuer)


ACTS: dict[str, Act] = {
    "roles": _set_roles,
    "remove-key": _remove_key,
    "remove-identity": _remove_identity,
    "disable": _plain(service.disable),
    "enable": _plain(service.enable),
    "unlock": _plain(service.unlock),
    "sign-out": _plain(sessions.revoke_all),
    "invite-again": _plain(setup.invite_again),
}


@view_config(
    route_name="person.act",
    request_method="POST",
    permission=Permission.ADMINISTER,
    unsafe=True,
    recent=True,
    renderer="person.jinja2",
)
def act(request: Any) -> Any:
    """Does one of the acts; a new link is shown, once."""
    act = ACTS.get(request.matchdict["act"])
    if act is None:
        raise HTTPNotFound
    name = request.matchdict["name"]
    engine = request.services.engine_of(request.identity.name)
    try:
        made = act(engine, name, request)
    except NoSuchPerson:
        raise HTTPNotFound from None
    except PeopleError as error:
        request.response.status_code = 422
        return person(request) | {"problem": str(error)}
    if isinstance(made, setup.Link):
        return person(request) | {"link": made}
    return HTTPSeeOther(request.route_path("person", name=name))
