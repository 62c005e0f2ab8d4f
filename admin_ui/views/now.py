"""Whether it is well, at one look."""

from __future__ import annotations

from typing import Any

from pyramid.view import view_config

from admin_ui import charts, picture
from admin_ui.permissions import Permission
from votepyramid.db import reading
from votepyramid.engine.listing import Page


@view_config(
    route_name="now",
    request_method="GET",
    permission=Permission.READ,
    renderer="now.jinja2",
)
def now(request: Any) -> dict[str, Any]:
    """How everything stands."""
    services = request.services
    # Asked for together, so that the page waits once.
    for kept in (services.work, services.stuck, services.history):
        kept.prepare()
    work = services.work.get()
    stuck = Page((), None)
    if work.value and work.value.needs_attention:
        stuck = services.stuck.get().value or stuck
    with reading(services.engine) as connection:
        history = services.history.get()
        log_seconds = services.settings.log_seconds
        seen = picture.paint(connection, work, stuck, history, log_seconds)
    still = "still" in request.GET
    return {"seen": seen, "charts": charts.of(seen.history), "still": still}
