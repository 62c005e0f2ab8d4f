"""RFC 9457 problem documents: the one place where a refusal becomes a response."""

from __future__ import annotations

import json
import math
from typing import Any

import structlog
from pyramid.config import Configurator
from pyramid.exceptions import URLDecodeError
from pyramid.httpexceptions import HTTPException, HTTPNotFound
from pyramid.response import Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from votepyramid.db import is_fault
from votepyramid.errors import PROBLEMS, Code, Refused
from votepyramid.keys.provider import KeyProviderError
from votepyramid.processes import place

log = structlog.get_logger(__name__)

TYPE = "https://votepyramid.example/errors#"
_BY_STATUS = {
    400: Code.MALFORMED,
    401: Code.UNAUTHENTICATED,
    403: Code.UNAUTHENTICATED,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    413: Code.TOO_LARGE,
    415: Code.UNSUPPORTED_MEDIA_TYPE,
}


def problem(refused: Refused, headers: dict[str, str] | None = None) -> Response:
    """The response for a refusal; `retry_after` is rounded up to whole seconds."""
    entry = PROBLEMS[refused.code]
    body: dict[str, Any] = {
        "type": TYPE + refused.code,
        "title": entry.title,
        "status": entry.status,
        "code": str(refused.code),
        "detail": refused.detail or entry.advice,
        **refused.extras,
    }
    response = Response(
        json.dumps(body, ensure_ascii=False).encode(),
        status=entry.status,
        content_type="application/problem+json",
    )
    response.charset = None
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(headers or {})
    if refused.retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(refused.retry_after))
    if refused.code is Code.UNAUTHENTICATED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _refused(error: Refused, _request: Any) -> Response:
    if error.__cause__ is not None:
        log.warning("refused", code=error.code, cause=type(error.__cause__).__name__)
    return problem(error)


def server_refusal(status: int, limits: dict[int, int]) -> Response:
    """What the HTTP server refuses before the application sees it, by its status.

    `limits` are the bytes that 413 (a body) and 431 (header fields) allow.
    """
    if status in limits:
        return problem(Refused(Code.TOO_LARGE, extras={"limit": limits[status]}))
    if status == 500:
        return problem(Refused(Code.INTERNAL))
    return malformed("not an HTTP request that this server takes")


def malformed(what: str) -> Response:
    """A request that is wrong as a whole, in one sentence of ours."""
    errors = [{"field": "", "problem": what}]
    return problem(Refused(Code.MALFORMED, extras={"errors": errors}))


def _http(error: HTTPException, _request: Any) -> Response:
    return problem(Refused(_BY_STATUS.get(error.status_code, Code.INTERNAL)))


def _not_found(_error: HTTPNotFound, request: Any) -> Response:
    """No such address; or no view takes this method there, which Pyramid calls the
    same."""
    methods = _methods(request)
    if not methods or request.method in methods:
        return problem(Refused(Code.NOT_FOUND))
    return problem(Refused(Code.METHOD_NOT_ALLOWED), {"Allow": ", ".join(methods)})


def _methods(request: Any) -> list[str]:
    """What the views of the matched route take, sorted."""
    route = request.matched_route
    if route is None:
        return []
    found: set[str] = set()
    for view in request.registry.introspector.get_category("views", []):
        declared = view["introspectable"]
        if declared["route_name"] == route.name:
            methods = declared["request_methods"]
            found |= {methods} if isinstance(methods, str) else set(methods or ())
    return sorted(found | {"HEAD"} if "GET" in found else found)


def _undecodable(_error: URLDecodeError, _request: Any) -> Response:
    return malformed("the address is not UTF-8")


def _away(error: Exception, request: Any) -> Response:
    """A part was away in the middle of it: what was begun can be sent again."""
    if isinstance(error, DBAPIError) and not is_fault(error):
        return _unexpected(error, request)
    log_part_away(type(error).__name__)
    return problem(Refused(Code.UNAVAILABLE, retry_after=2.0))


def log_part_away(error: str) -> None:
    """What an answer needs is away; `error` is the name of the error's class."""
    log.warning("part_away", error=error)


def log_unexpected(error: Exception, request: Any) -> None:
    """Its kind and its place, and nothing of what it says: that may be a secret."""
    route = getattr(request.matched_route, "name", None)
    log.error("unexpected", error=type(error).__name__, place=place(error), route=route)


def _unexpected(error: Exception, request: Any) -> Response:
    """A bug of ours. The caller learns nothing; the log gets the kind and the place."""
    log_unexpected(error, request)
    return problem(Refused(Code.INTERNAL))


def add_exception_views(config: Configurator) -> None:
    """Whatever a view raises, the caller sees a problem document."""
    config.add_exception_view(_refused, context=Refused)
    config.add_exception_view(_http, context=HTTPException)
    config.add_exception_view(_not_found, context=HTTPNotFound)
    config.add_exception_view(_undecodable, context=URLDecodeError)
    for part in (DBAPIError, PoolTimeout, KeyProviderError):
        config.add_exception_view(_away, context=part)
    config.add_exception_view(_unexpected, context=Exception)
