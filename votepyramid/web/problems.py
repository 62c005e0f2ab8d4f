"""RFC 9457 problem documents: the one place where a refusal becomes a response."""

from __future__ import annotations

import json
import math
from typing import Any

import structlog
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPException
from pyramid.response import Response

from votepyramid.errors import PROBLEMS, Code, Refused

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


def _http(error: HTTPException, _request: Any) -> Response:
    code = _BY_STATUS.get(error.status_code, Code.INTERNAL)
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return problem(Refused(code), headers)


def _unexpected(error: Exception, request: Any) -> Response:
    """A bug of ours. The caller learns nothing; the log gets the kind and the place."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = (
        f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
        if trace
        else ""
    )
    route = getattr(request.matched_route, "name", None)
    log.error("unexpected", error=type(error).__name__, place=place, route=route)
    return problem(Refused(Code.INTERNAL))


def add_exception_views(config: Configurator) -> None:
    """Whatever a view raises, the caller sees a problem document."""
    config.add_exception_view(_refused, context=Refused)
    config.add_exception_view(_http, context=HTTPException)
    config.add_exception_view(_unexpected, context=Exception)
