"""Who may have payloads opened: an operator with a role, from the console's page."""

from __future__ import annotations

from typing import Any

from pyramid.request import RequestLocalCache
from pyramid.security import Allowed, Denied

from votepyramid.eligibility.identity import bearer
from votepyramid.eligibility.operators import Operator
from votepyramid.errors import Code, Refused

COOKIE = "votepyramid-codec"
DECODE = "decode"


class OperatorPolicy:
    """The console's origin first: no other page learns even that it must sign in."""

    def __init__(self) -> None:
        self._operators = RequestLocalCache(_operator)

    def identity(self, request: Any) -> Operator:
        """Raises Refused: FORBIDDEN, UNAUTHENTICATED, UNAVAILABLE."""
        operator: Operator = self._operators.get_or_create(request)
        return operator

    def authenticated_userid(self, request: Any) -> str:
        return self.identity(request).subject

    def permits(self, request: Any, _context: Any, permission: str) -> Any:
        if permission != DECODE:
            return Denied(f"nobody has permission {permission!r}")
        check_origin(request)
        # For the log, also of what is refused after this.
        request.operator = self.identity(request)
        return Allowed("an operator with a role may decode")

    def remember(self, _request: Any, _userid: str, **_: Any) -> list[Any]:
        return []

    def forget(self, _request: Any, **_: Any) -> list[Any]:
        return []


def from_console(request: Any) -> bool:
    """Whether the browser says that the console's page is asking."""
    return bool(request.headers.get("Origin") == request.services.origin)


def check_origin(request: Any) -> None:
    """Raises Refused(FORBIDDEN) for any other page, and for none."""
    if not from_console(request):
        raise Refused(Code.FORBIDDEN, extras={"reason": "origin"})


def _operator(request: Any) -> Operator:
    services = request.services
    authorization = request.headers.get("Authorization")
    if authorization is None and services.sessions is not None:
        found: Operator | None = services.sessions.operator(request.cookies.get(COOKIE))
        if found is None:
            raise Refused(Code.UNAUTHENTICATED)
        return found
    operator: Operator = services.verifier.operator(bearer(authorization))
    return operator
