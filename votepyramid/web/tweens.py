"""Around every request: security headers, a correlation id, a metric, one log line.

The log line names the route, never the address: paths can hold receipt hashes, and
a client may put anything into a query.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
import time
from collections.abc import Callable
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from pyramid.response import Response

log = structlog.get_logger(__name__)

REQUESTS = Counter(
    "votepyramid_http_requests_total", "Requests", ["route", "method", "status"]
)
SECONDS = Histogram(
    "votepyramid_http_request_seconds",
    "Time to answer",
    ["route", "method"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10),
)
_COUNTER = itertools.count()
_SECRET = secrets.token_bytes(32)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "interest-cohort=()",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def _request_id() -> str:
    """16 hex digits that tell nothing, not even how many there were before.

    Asking the kernel for each would let the interpreter lock go once more.
    """
    number = next(_COUNTER).to_bytes(8)
    return hashlib.blake2b(number, key=_SECRET, digest_size=8).hexdigest()


def dress(response: Response) -> str:
    """Put on every header that each answer has; the request id among them."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    request_id = _request_id()
    response.headers["X-Request-Id"] = request_id
    return request_id


def observed(
    handler: Callable[[Any], Response], _registry: Any
) -> Callable[[Any], Response]:
    """The outermost tween."""

    def tween(request: Any) -> Response:
        began = time.perf_counter()
        response = handler(request)
        request_id = dress(response)
        matched = getattr(request, "matched_route", None)
        route = matched.name if matched is not None else "none"
        method = request.method if request.method in METHODS else "other"
        seconds = time.perf_counter() - began
        REQUESTS.labels(route, method, response.status_code).inc()
        SECONDS.labels(route, method).observe(seconds)
        if response.status_code >= 500 or not route.startswith("health"):
            log.info(
                "request",
                id=request_id,
                route=route,
                method=method,
                status=response.status_code,
                ms=round(seconds * 1000, 1),
            )
        return response

    return tween
