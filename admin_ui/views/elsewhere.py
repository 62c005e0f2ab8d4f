"""Signing in at the identity provider: going there, and coming back.

Who goes there is led by a page of ours and not by a redirect: browsers hold all that
follows a form, redirects too, to `form-action`, which allows these pages alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.renderers import render_to_response
from pyramid.response import Response
from pyramid.view import view_config

from admin_ui import forms
from admin_ui.addresses import local
from admin_ui.permissions import Permission
from admin_ui.policy import provider_cookie_name
from admin_ui.rendering import sentence
from admin_ui.troubles import page
from admin_ui.views.signing_in import with_session
from votepyramid.people import identities, sessions, setup
from votepyramid.people.errors import (
    Busy,
    IdentityTaken,
    IdentityUnknown,
    PeopleError,
    ProviderAway,
    SessionEnded,
)
from votepyramid.people.oidc import flow, requests
from votepyramid.people.oidc.flow import Answer
from votepyramid.people.oidc.id_tokens import Identity
from votepyramid.people.oidc.provider import Provider
from votepyramid.people.oidc.requests import Asked
from votepyramid.people.sessions import Session
from votepyramid.web.policy import ANYONE


@view_config(
    route_name="sign_in.provider",
    request_method="POST",
    permission=ANYONE,
    unsafe=True,
)
def sign_in(request: Any) -> Response:
    """Goes there to sign in."""
    form = forms.read(request, "next")
    return _leave(request, Asked("sign_in", local(request, form["next"])))


@view_config(
    route_name="sign_in_again.provider",
    request_method="POST",
    permission=Permission.OWN,
    unsafe=True,
)
def sign_in_again(request: Any) -> Response:
    """Goes there to sign in again, before a dangerous act."""
    back = local(request, forms.read(request, "next")["next"])
    return _leave(request, Asked("sign_in_again", back, request.identity.id))


@view_config(
    route_name="account.identity",
    request_method="POST",
    permission=Permission.OWN,
    unsafe=True,
    recent=True,
)
def bind(request: Any) -> Response:
    """Goes there to bind one's account to who one is there."""
    forms.read(request)
    back = request.route_path("account")
    return _leave(request, Asked("bind", back, request.identity.id))


@view_config(
    route_name="set_up.provider",
    request_method="POST",
    permission=ANYONE,
    unsafe=True,
    renderer="set_up.jinja2",
)
def set_up(request: Any) -> Any:
    """Goes there with a set-up link, instead of choosing a passphrase."""
    form = forms.read(request, "code", "name", "passphrase", "repeated")
    code, name = form["code"], form["name"]
    try:
        link = setup.usable(request.services.engine, code, name)
    except PeopleError as error:
        request.response.status_code = 403
        return {"problem": str(error), "code": code, "name": name}
    return _leave(request, Asked("set_up", setup=link, name=name))


def _leave(request: Any, asked: Asked) -> Response:
    """A page that leads there; its cookie is the browser's part in coming back."""
    provider = _provider(request)
    try:
        leaving = flow.begin(request.services.engine, provider, asked)
    except PeopleError as error:
        return _trouble(request, provider, error)
    values = {"address": leaving.address, "name": provider.client.name}
    response: Response = render_to_response("leaving.jinja2", values, request=request)
    response.set_cookie(
        provider_cookie_name(request),
        leaving.secret,
        max_age=int(requests.LIFETIME.total_seconds()),
        path="/",
        secure=request.services.origin.startswith("https:"),
        httponly=True,
        samesite="Lax",
    )
    return response


@view_config(route_name="callback", request_method="GET", permission=ANYONE)
def come_back(request: Any) -> Response:
    """Takes the provider's answer, and ends what it was about."""
    provider = _provider(request)
    kept = request.cookies.get(provider_cookie_name(request))
    try:
        asked, identity = flow.finish(
            request.services.engine, provider, kept, _answer(request)
        )
        response = _ENDS[asked.purpose](request, asked, identity)
    except PeopleError as error:
        return _trouble(request, provider, error)
    response.delete_cookie(provider_cookie_name(request), path="/")
    return response


def _signed_in(request: Any, asked: Asked, identity: Identity) -> Response:
    engine = request.services.engine
    person = identities.sign_in(engine, identity)
    opened = sessions.open(engine, person.id, since=identity.since)
    return with_session(request, local(request, asked.next), opened.secret)


def _signed_in_again(request: Any, asked: Asked, identity: Identity) -> Response:
    session, engine = _same(request, asked), request.services.engine
    person = identities.sign_in(engine, identity)
    if person.id != session.person:
        raise IdentityTaken
    sessions.renew(engine, session.id, person.id, since=identity.since)
    return HTTPSeeOther(local(request, asked.next))


def _bound(request: Any, asked: Asked, identity: Identity) -> Response:
    session = _same(request, asked)
    identities.bind(request.services.engine_of(session.name), session, identity)
    return HTTPSeeOther(asked.next)


def _set_up(request: Any, asked: Asked, identity: Identity) -> Response:
    engine = request.services.engine
    link, name = asked.setup or b"", asked.name or ""
    person = setup.accept_identity(engine, link, name, identity)
    opened = sessions.open(engine, person, since=identity.since)
    return with_session(request, asked.next, opened.secret)


_ENDS: dict[str, Callable[[Any, Asked, Identity], Response]] = {
    "sign_in": _signed_in,
    "sign_in_again": _signed_in_again,
    "bind": _bound,
    "set_up": _set_up,
}


def _same(request: Any, asked: Asked) -> Session:
    """The session that went there. Raises SessionEnded when it is not here."""
    session: Session | None = request.identity
    if session is None or session.id != asked.session:
        raise SessionEnded
    return session


def _provider(request: Any) -> Provider:
    provider: Provider | None = request.services.provider
    if provider is None:
        raise HTTPNotFound
    return provider


def _answer(request: Any) -> Answer:
    """What else a provider adds is not looked at. Raises FormInvalid."""
    query = request.GET

    def one(name: str) -> str | None:
        values = query.getall(name)
        if len(values) > 1 or any(len(value) > forms.MAX_LENGTH for value in values):
            raise forms.FormInvalid("The address says something twice, or too much")
        return values[0] if values else None

    return Answer(one("state"), one("code"), one("error"), one("iss"))


def _trouble(request: Any, provider: Provider, error: PeopleError) -> Response:
    name = provider.client.name
    status, title = 403, "The sign-in did not succeed"
    said = [sentence(str(error)), "Nothing was changed."]
    if isinstance(error, ProviderAway | Busy):
        status, title = 503, f"{name} cannot be asked"
    if isinstance(error, IdentityUnknown):
        title, said = "There is no account for you", _ways_in(name)
    return page(request, status, title, *said, link=_on(request))


def _ways_in(name: str) -> list[str]:
    bind = f"bind it to {name} on its own page"
    return [
        f"You signed in with {name}, and no account that can be used here knows that.",
        f"If you have an account with a passphrase, sign in with that and {bind}.",
        f"If you were invited, open your set-up link, and sign in with {name} there.",
        "Otherwise ask an administrator to invite you, or to let you in again.",
    ]


def _on(request: Any) -> tuple[str, str]:
    if request.identity is not None:
        return request.route_path("account"), "Your account"
    return request.route_path("sign_in"), "Sign in"
