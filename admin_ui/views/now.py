"""Whether it is well, at one look."""

from __future__ import annotations

from typing import Any

from pyramid.view import view_config

from admin_ui import charts, picture
from admin_ui.permissions import Permission
from votepyramid.db import reading


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
    services.history.prepare()
    work, history = services.work.get(), services.history.get()
    with reading(services.engine) as connection:
        log_seconds = services.settings.log_seconds
        seen = picture.paint(connection, work, history, log_seconds)
    still = "still" in request.GET
    return {"seen": seen, "charts": charts.of(seen.history), "still": still}
