"""Permissions, and views that must say what they are.

Two permissions exist in the public API: `anyone` is written out where a view needs
no sign-in, `claim` needs an authenticated voter. A view without a permission, or one
that takes another method than GET without `unsafe=True`, stops the start.
"""

from __future__ import annotations

from typing import Any

from pyramid.config import Configurator
from pyramid.exceptions import ConfigurationError
from pyramid.request import RequestLocalCache
from pyramid.security import NO_PERMISSION_REQUIRED, Allowed, Denied

SAFE = {"GET", "HEAD", "OPTIONS"}
ANYONE = NO_PERMISSION_REQUIRED


class VoterPolicy:
    """A voter is whoever bears a valid JWT; there is no cookie and no session."""

    def __init__(self) -> None:
        # Asked for the permission and by the view; a signature is checked once.
        self._voters = RequestLocalCache(_voter)

    def identity(self, request: Any) -> str:
        """The voter's id. Raises Refused(UNAUTHENTICATED)."""
        voter: str = self._voters.get_or_create(request)
        return voter

    def authenticated_userid(self, request: Any) -> str:
        return self.identity(request)

    def permits(self, request: Any, _context: Any, permission: str) -> Any:
        if permission != "claim":
            return Denied(f"nobody has permission {permission!r}")
        self.identity(request)
        return Allowed("an authenticated voter may claim")

    def remember(self, _request: Any, _userid: str, **_: Any) -> list[Any]:
        return []

    def forget(self, _request: Any, **_: Any) -> list[Any]:
        return []


def _voter(request: Any) -> str:
    voter: str = request.services.verifier.voter(request.headers.get("Authorization"))
    return voter


def _declared(view: Any, info: Any) -> Any:
    """A view deriver that only looks: options must be spelled out."""
    if info.exception_only:
        return view
    name = getattr(info.original_view, "__name__", repr(info.original_view))
    if info.options.get("permission") is None:
        raise ConfigurationError(f"view {name} declares no permission")
    methods = info.options.get("request_method")
    if methods is None:
        raise ConfigurationError(f"view {name} declares no request_method")
    listed = {methods} if isinstance(methods, str) else set(methods)
    if listed - SAFE and not info.options.get("unsafe"):
        raise ConfigurationError(f"view {name} changes things without unsafe=True")
    return view


_declared.options = ("unsafe",)  # type: ignore[attr-defined]


def add_policy(config: Configurator, policy: Any) -> None:
    """Set the security policy and look at every view that is added."""
    config.set_security_policy(policy)
    config.add_view_deriver(_declared, name="declared", under="secured_view")
