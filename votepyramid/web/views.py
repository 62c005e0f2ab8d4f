"""GET /health/live, /health/ready and /metrics."""

from __future__ import annotations

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from pyramid.response import Response
from pyramid.view import view_config

from votepyramid.observing.exposition import exposition
from votepyramid.web.policy import ANYONE


@view_config(
    route_name="health.live", request_method="GET", permission=ANYONE, renderer="json"
)
def live(_request: Any) -> dict[str, str]:
    """This process answers."""
    return {"status": "live"}


@view_config(
    route_name="health.ready", request_method="GET", permission=ANYONE, renderer="json"
)
def ready(request: Any) -> dict[str, Any]:
    """200 when what a vote needs is there, else 503; each part named and timed."""
    findings = request.registry["readiness"].findings()
    well = all(finding.problem is None for finding in findings)
    request.response.status_code = 200 if well else 503
    return {
        "status": "ready" if well else "not ready",
        "checks": [
            {"name": f.name, "ok": f.problem is None, "ms": f.milliseconds}
            | ({"problem": f.problem} if f.problem else {})
            for f in findings
        ],
    }


@view_config(route_name="metrics", request_method="GET", permission=ANYONE)
def metrics(_request: Any) -> Response:
    """Prometheus text, over all processes that share the metrics directory."""
    response = Response(exposition())
    response.headers["Content-Type"] = CONTENT_TYPE_LATEST
    return response
