"""POST /decode for the console; /encode, which refuses; their preflights."""

from __future__ import annotations

from typing import Any

import structlog
from pyramid.response import Response
from pyramid.view import view_config

from votepyramid.errors import Code, Refused
from votepyramid.web.codec_server.policy import DECODE, check_origin
from votepyramid.web.codec_server.tweens import PREFLIGHT_SECONDS, REQUEST_HEADERS
from votepyramid.web.policy import ANYONE
from votepyramid.web.schemas import read_json

log = structlog.get_logger(__name__)

# A group's payload is under 448 KiB, and base64 of base64 here.
MAX_BODY = 1024 * 1024
# So many workflows are named in one log line; the rest is a number.
MAX_PLACES = 20


@view_config(
    route_name="codec.decode",
    request_method="POST",
    permission=DECODE,
    unsafe=True,
    renderer="json",
)
def decode(request: Any) -> dict[str, Any]:
    """The payloads of a history, opened for an operator."""
    operator = request.identity
    request.services.rate.hit(operator.subject)
    namespace = request.headers.get("X-Namespace")
    document = read_json(request, MAX_BODY)
    found = request.services.decoder.decode(namespace, document)
    log.info(
        "payloads_decoded",
        who=operator.subject,
        role=operator.role,
        namespace=found.namespace,
        payloads=len(found.payloads),
        opened=found.opened,
        unreadable=found.unreadable,
        places=found.places[:MAX_PLACES],
        more_places=max(0, len(found.places) - MAX_PLACES),
    )
    request.response.headers["Cache-Control"] = "no-store"
    return {"payloads": found.payloads}


@view_config(
    route_name="codec.encode", request_method="POST", permission=DECODE, unsafe=True
)
def encode(_request: Any) -> Response:
    """A console must never make a payload of ours: a seal is what a worker trusts."""
    raise Refused(Code.FORBIDDEN, extras={"reason": "read_only"})


@view_config(route_name="codec.decode", request_method="OPTIONS", permission=ANYONE)
@view_config(route_name="codec.encode", request_method="OPTIONS", permission=ANYONE)
def preflight(request: Any) -> Response:
    """What the console's page may send (Fetch, CORS-preflight)."""
    check_origin(request)
    response = Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = "POST"
    response.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
    response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return response
