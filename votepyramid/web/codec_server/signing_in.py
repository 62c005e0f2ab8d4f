"""The sign-in of a development stack: a link, its page, and a cookie."""

from __future__ import annotations

import secrets
from typing import Any

import structlog
from pyramid.response import Response
from pyramid.view import view_config

from votepyramid.eligibility.identity import bearer
from votepyramid.errors import Code, Refused
from votepyramid.web.codec_server.page import sign_in_page
from votepyramid.web.codec_server.policy import COOKIE
from votepyramid.web.policy import ANYONE

log = structlog.get_logger(__name__)


@view_config(route_name="codec.page", request_method="GET", permission=ANYONE)
def page(request: Any) -> Response:
    """The page of a sign-in link. Its script alone sees the token in the address."""
    nonce = secrets.token_urlsafe(16)
    body = sign_in_page(nonce, request.services.origin, request.host_url)
    response = Response(body, content_type="text/html", charset="utf-8")
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    response.headers["Cache-Control"] = "no-store"
    return response


@view_config(
    route_name="codec.session", request_method="POST", permission=ANYONE, unsafe=True
)
def sign_in(request: Any) -> Response:
    """A one-time token for a cookie. Only our own page may ask."""
    if request.headers.get("Origin") != request.host_url:
        raise Refused(Code.FORBIDDEN, extras={"reason": "origin"})
    services = request.services
    token = bearer(request.headers.get("Authorization"))
    operator = services.verifier.operator(token)
    name, seconds = services.sessions.begin(operator)
    log.info("operator_signed_in", who=operator.subject, role=operator.role)
    response = Response(status=204)
    response.set_cookie(
        COOKIE, name, max_age=seconds, path="/decode", httponly=True, samesite="Strict"
    )
    return response
