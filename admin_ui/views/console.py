"""Temporal's web console, which stands behind the sign-in of these pages.

A proxy in front of it (deploy/console/nginx.conf) asks here about every request, with
the browser's cookie, and lets nothing through without a 204.
"""

from __future__ import annotations

import re
from typing import Any

from pyramid.httpexceptions import HTTPForbidden, HTTPNotFound
from pyramid.response import Response
from pyramid.view import exception_view_config, view_config

from admin_ui.permissions import Permission
from admin_ui.policy import NotSignedIn, SecondFactorDue, SecondFactorMissing

TOKEN_HEADER = "X-Operator-Token"
_ADDRESS = re.compile(r"/[!-~]{0,4000}")


@view_config(
    route_name="console",
    request_method="GET",
    permission=Permission.CONSOLE,
    renderer="console.jinja2",
)
def console(request: Any) -> dict[str, Any]:
    """To the console, and there to where the person wanted to be.

    A page and no redirect: browsers let no form, the sign-in's, lead to another origin.
    """
    origin = request.services.settings.codec_origin
    if not origin:
        raise HTTPNotFound
    # All that follows is one address: the proxy cannot encode what it puts there.
    _, _, wanted = request.query_string.partition("to=")
    return {"address": origin + (wanted if _ADDRESS.fullmatch(wanted) else "/")}


@view_config(
    route_name="console.allowed", request_method="GET", permission=Permission.CONSOLE
)
def allowed(_request: Any) -> Response:
    """To the proxy: whose cookie this is may look."""
    return _answer(204)


@view_config(
    route_name="console.operator", request_method="GET", permission=Permission.OPEN
)
def operator(request: Any) -> Response:
    """To the proxy: a token for the codec server, which never reaches a browser."""
    issuer = request.services.issuer
    if issuer is None:
        raise HTTPNotFound
    person = request.identity
    response = _answer(204)
    response.headers[TOKEN_HEADER] = issuer.token(person.name, person.roles)
    return response


@exception_view_config(NotSignedIn, route_name="console.allowed")
@exception_view_config(NotSignedIn, route_name="console.operator")
@exception_view_config(SecondFactorDue, route_name="console.allowed")
@exception_view_config(SecondFactorDue, route_name="console.operator")
def sign_in_first(_error: Exception, _request: Any) -> Response:
    """Nobody sees a page here, and nobody is led to one."""
    return _answer(401)


@exception_view_config(HTTPForbidden, route_name="console.allowed")
@exception_view_config(HTTPForbidden, route_name="console.operator")
@exception_view_config(SecondFactorMissing, route_name="console.operator")
def refused(_error: Exception, _request: Any) -> Response:
    return _answer(403)


def _answer(status: int) -> Response:
    response = Response(status=status)
    response.headers["Cache-Control"] = "no-store"
    return response
