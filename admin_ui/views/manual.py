"""The manual: what an alarm means and what to press, also while Postgres is away.

It is in every copy of the program and has no secret: nobody needs to be signed in.
"""

from __future__ import annotations

from typing import Any

from pyramid.httpexceptions import HTTPNotFound
from pyramid.view import view_config

from admin_ui import manual
from votepyramid.web.policy import ANYONE


@view_config(
    route_name="runbook",
    request_method="GET",
    permission=ANYONE,
    renderer="manual.jinja2",
)
@view_config(
    route_name="manual",
    request_method="GET",
    permission=ANYONE,
    renderer="manual.jinja2",
)
def document(request: Any) -> dict[str, Any]:
    """A document, with its entries."""
    found = manual.document(request.matchdict.get("document", manual.RUNBOOK))
    if found is None:
        raise HTTPNotFound
    return {"shown": found, "whole": None}


@view_config(
    route_name="manual.entry",
    request_method="GET",
    permission=ANYONE,
    renderer="manual.jinja2",
)
def entry(request: Any) -> dict[str, Any]:
    """What stands under one heading of a document."""
    name = request.matchdict["document"]
    found = manual.entry(name, request.matchdict["entry"])
    if found is None:
        raise HTTPNotFound
    return {"shown": found, "whole": manual.document(name)}
