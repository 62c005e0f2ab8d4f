"""Around every request: security headers, a correlation id, a metric, one log line.

The log line names the route, never the address: paths can hold receipt hashes, and
a client may put anything into a query.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from pyramid.response import Response

from votepyramid.observing import correlation, tracing

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


# What voters do, by the names of their routes.
DOORS = {"votes.cast": "cast", "tokens.claim": "claim"}


def dress(response: Response, request_id: str) -> None:
    """Put on every header that each answer has; the request id among them."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = request_id


def observed(
    handler: Callable[[Any], Response], _registry: Any
) -> Callable[[Any], Response]:
    """The outermost tween."""

    def tween(request: Any) -> Response:
        with tracing.span("request", "SERVER") as span:
            return answered(request, span)

    def answered(request: Any, span: tracing.Span) -> Response:
        began = time.perf_counter()
        request_id = correlation.begin()
        response = handler(request)
        dress(response, request_id)
        matched = getattr(request, "matched_route", None)
        route = matched.name if matched is not None else "none"
        method = request.method if request.method in METHODS else "other"
        span.tell(
            f"{method} {route}",
            http__route=route,
            http__request__method=method,
            http__response__status_code=response.status_code,
        )
        seconds = time.perf_counter() - began
        REQUESTS.labels(route, method, response.status_code).inc()
        SECONDS.labels(route, method).observe(seconds)
        if response.status_code >= 500 or not route.startswith("health"):
            log.info(
                "request",
                route=route,
                method=method,
                status=response.status_code,
                ms=round(seconds * 1000, 1),
            )
        return response

    return tween


def counted(
    handler: Callable[[Any], Response], _registry: Any
) -> Callable[[Any], Response]:
    """Answers at the voters' doors, by election, for this process's vitals."""

    def tween(request: Any) -> Response:
        began = time.perf_counter()
        response = handler(request)
        matched = getattr(request, "matched_route", None)
        door = DOORS.get(matched.name) if matched is not None else None
        # Only elections that there are: anybody can name others.
        if door is not None and response.status_code != 404:
            request.services.tally.answered(
                door,
                request.matchdict["election"],
                response.status_code,
                time.perf_counter() - began,
            )
        return response

    return tween
