"""The audit log: what operators and the engine did, and voters' events as logged."""

from __future__ import annotations

from typing import Any

from pyramid.view import view_config

from admin_ui import forms
from admin_ui.permissions import Permission
from votepyramid.audit import browsing
from votepyramid.db import reading
from votepyramid.elections import overview


@view_config(
    route_name="audit",
    request_method="GET",
    permission=Permission.AUDIT,
    renderer="audit.jinja2",
)
def audit(request: Any) -> dict[str, Any]:
    """Acts, of all elections or of one, of all kinds or of one."""
    asked = forms.asked(request, "election", "kind", "before")
    before = forms.number(asked.pop("before"))
    with reading(request.services.engine) as connection:
        acts = browsing.acts(connection, **asked, before=before)
        elections = overview.elections(connection)
    return {"acts": acts, "elections": elections, "kinds": browsing.ACTS, **asked}


@view_config(
    route_name="audit.voters",
    request_method="GET",
    permission=Permission.AUDIT,
    renderer="audit_voters.jinja2",
)
def voters(request: Any) -> dict[str, Any]:
    """Voters' events of one election, in the order of the log."""
    asked = forms.asked(request, "election", "kind", "subject", "before")
    before, election = forms.number(asked.pop("before")), asked["election"]
    with reading(request.services.engine) as connection:
        elections = overview.elections(connection)
        events = (
            browsing.voters_events(connection, **asked, before=before)
            if election
            else None
        )
    return {
        "events": events,
        "elections": elections,
        "kinds": browsing.VOTERS,
        **asked,
    }
