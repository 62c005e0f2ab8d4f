"""GET /api/elections/{id}/ and its manifest/: what an election is."""

from __future__ import annotations

from typing import Any

from pyramid.response import Response
from pyramid.view import view_config

from votepyramid.db import reading
from votepyramid.elections import service
from votepyramid.web.policy import ANYONE


@view_config(
    route_name="election", request_method="GET", permission=ANYONE, renderer="json"
)
def election(request: Any) -> dict[str, Any]:
    """Where the election stands. `closes` is earlier than announced if closed early."""
    with reading(request.services.engine) as connection:
        view = service.get(connection, request.matchdict["election"])
    return service.describe(view)


@view_config(route_name="election.manifest", request_method="GET", permission=ANYONE)
def manifest(request: Any) -> Response:
    """The signed manifest, byte for byte as it was taken in."""
    with reading(request.services.engine) as connection:
        view = service.get(connection, request.matchdict["election"])
    return Response(view.signed_manifest.encode(), content_type="application/json")
