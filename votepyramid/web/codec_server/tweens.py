"""Cross-origin headers for the console's page alone, and a log line a refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from pyramid.response import Response

from votepyramid.web.codec_server.policy import from_console

log = structlog.get_logger(__name__)

# What the console's page sends, and what a browser must be told that it may.
REQUEST_HEADERS = "Authorization, Authorization-Extras, Content-Type, X-Namespace"
PREFLIGHT_SECONDS = 600
CODEC_ROUTES = {"codec.decode", "codec.encode", "codec.session"}


def shared(
    handler: Callable[[Any], Response], _registry: Any
) -> Callable[[Any], Response]:
    """Around the views and their refusals."""

    def tween(request: Any) -> Response:
        response = handler(request)
        response.headers.add("Vary", "Origin")
        if from_console(request):
            response.headers["Access-Control-Allow-Origin"] = request.services.origin
            if request.services.sessions is not None:
                # The cookie of a development sign-in goes along only then.
                response.headers["Access-Control-Allow-Credentials"] = "true"
        route = getattr(request.matched_route, "name", None)
        if route in CODEC_ROUTES and response.status_code >= 400:
            log.warning(
                "codec_refused",
                route=route,
                method=request.method,
                status=response.status_code,
                **_who(request),
                **_why(response),
            )
        return response

    return tween


def _who(request: Any) -> dict[str, str]:
    operator = getattr(request, "operator", None)
    return {} if operator is None else {"who": operator.subject, "role": operator.role}


def _why(response: Response) -> dict[str, str]:
    """Our own words of the problem document, nothing that was sent."""
    document = response.json_body
    return {name: document[name] for name in ("code", "reason") if name in document}
