"""Who is asking: the person of a session, by a cookie. And from where.

A change is taken from our own pages alone: the browser's `Origin` must be ours (Fetch,
section 3.1). Every browser sends it with a POST, also from a private window, so there
is no token in the forms that could leak or grow old.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.request import RequestLocalCache
from pyramid.security import Allowed, Denied
from pyramid.viewderivers import INGRESS

from admin_ui.permissions import Permission, allows, who_may
from votepyramid.people import authenticators, sessions
from votepyramid.people.errors import SessionEnded
from votepyramid.people.sessions import Session
from votepyramid.web.policy import SAFE, add_policy

# By nginx, about each request to Temporal's console: see views/console.py.
ASKED_BY_THE_PROXY = ("console.allowed", "console.operator")
# How long a sign-in holds for acts that ask for a recent one.
RECENT_S = 15 * 60


class NotSignedIn(Exception):
    """Nobody is, and the page is somebody's."""


class SecondFactorDue(Exception):
    """The person has a security key, and has not shown it in this session."""


class SecondFactorMissing(Exception):
    """The act asks for a security key, and the person has registered none."""


class NotRecent(Exception):
    """The act asks its person to sign in again."""


class ForeignOrigin(Exception):
    """A change that did not come from our own pages."""


class PersonPolicy:
    """Sessions stand in Postgres: what is revoked there ends with the next request."""

    def __init__(self) -> None:
        self._sessions = RequestLocalCache(_session)

    def identity(self, request: Any) -> Session | None:
        found: Session | None = self._sessions.get_or_create(request)
        return found

    def authenticated_userid(self, request: Any) -> str | None:
        session = self.identity(request)
        return session.name if session else None

    def permits(self, request: Any, _context: Any, permission: str) -> Any:
        session = self.identity(request)
        if session is None:
            raise NotSignedIn
        if authenticators.due(session) and permission != Permission.ENTER:
            raise SecondFactorDue
        if not allows(session.roles, permission):
            return Denied(f"only for {' and '.join(who_may(permission))}")
        if _needs_a_key(request, permission, session):
            raise SecondFactorMissing
        return Allowed("one of the person's roles allows it")

    def remember(self, request: Any, userid: str, **_: Any) -> list[Any]:
        raise NotImplementedError("see views/signing_in.py")

    def forget(self, request: Any, **_: Any) -> list[Any]:
        raise NotImplementedError("see views/signing_in.py")


def cookie_name(request: Any) -> str:
    """`__Host-` binds it to one https origin (RFC 6265bis, section 4.1.3)."""
    secure = request.services.origin.startswith("https:")
    return "__Host-votepyramid" if secure else "votepyramid-admin"


def provider_cookie_name(request: Any) -> str:
    """Of the browser that is at the identity provider."""
    return f"{cookie_name(request)}-oidc"


def _session(request: Any) -> Session | None:
    secret = request.cookies.get(cookie_name(request))
    if secret is None:
        return None
    by_itself = _by_itself(request)
    try:
        return sessions.read(request.services.engine, secret, seen=not by_itself)
    except SessionEnded:
        return None


def _by_itself(request: Any) -> bool:
    """Whether a page asks with nobody at it: no session must last by that.

    A page that renews itself, and what scripts of Temporal's console ask for. A person
    opens or reloads one of the console's pages, which the browser says.
    """
    route = getattr(request.matched_route, "name", "")
    if route in ASKED_BY_THE_PROXY:
        return bool(request.headers.get("Sec-Fetch-Mode") != "navigate")
    return "HX-Request" in request.headers and request.method in SAFE


def _needs_a_key(request: Any, permission: str, session: Session) -> bool:
    """In development the pages warn, and can be tried without a key."""
    if not request.services.settings.production:
        return False
    if permission in (Permission.OPEN, Permission.EXPORT):
        return not session.has_authenticator
    return permission == Permission.ADMINISTER and authenticators.missing(session)


def _from_our_pages(view: Callable[..., Any], info: Any) -> Callable[..., Any]:
    if info.exception_only:
        return view

    def checked(context: Any, request: Any) -> Any:
        ours = request.headers.get("Origin") == request.services.origin
        if request.method not in SAFE and not ours:
            raise ForeignOrigin
        return view(context, request)

    return checked


def _recent(view: Callable[..., Any], info: Any) -> Callable[..., Any]:
    """`recent=True` on a view: its person signed in within RECENT_S."""
    if not info.options.get("recent"):
        return view

    def checked(context: Any, request: Any) -> Any:
        if not sessions.recent(request.identity, RECENT_S):
            raise NotRecent
        return view(context, request)

    return checked


_recent.options = ("recent",)  # type: ignore[attr-defined]


def add_person_policy(config: Configurator) -> None:
    """Who asks and from where is looked at before any view is called."""
    add_policy(config, PersonPolicy())
    config.add_view_deriver(
        _from_our_pages, name="from_our_pages", under=INGRESS, over="secured_view"
    )
    config.add_view_deriver(_recent, name="recent", under="secured_view")
