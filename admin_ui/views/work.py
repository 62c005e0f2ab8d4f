"""Work: which workflows there are, and one of them with its steps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.view import view_config

from admin_ui import charts, forms, lists
from admin_ui.permissions import Permission
from votepyramid.db import reading
from votepyramid.elections import overview
from votepyramid.engine.listing import KINDS, STEPS, State
from votepyramid.work import service
from votepyramid.work.service import Act

DONE: dict[str, str] = {
    Act.RETRY: "The step is tried now, and its attempts are counted anew.",
    Act.PAUSE: "The step is not tried any more until somebody resumes it.",
    Act.RESUME: "The step is tried again.",
}


@view_config(
    route_name="work",
    request_method="GET",
    permission=Permission.READ,
    renderer="work.jinja2",
)
def work(request: Any) -> dict[str, Any]:
    """Those that need a person, and those asked for, a page of them at a time."""
    services = request.services
    asked = forms.asked(request, *lists.FIELDS)
    found = services.lists.get(lists.key(asked))
    if found.value and found.value.refused:
        raise forms.FormInvalid(found.value.refused)
    with reading(services.engine) as connection:
        elections = [one.id for one in overview.elections(connection)]
    states = list(State)
    choices = {"state": states, "kind": KINDS, "step": STEPS, "election": elections}
    shown = {"choices": choices, "ages": lists.AGES, "acts": list(Act)}
    return {"asked": asked, "found": found, **shown}


@view_config(route_name="work.find", request_method="GET", permission=Permission.READ)
def find(request: Any) -> Any:
    """Goes on to the workflow's page."""
    name = (forms.asked(request, "name")["name"] or "").strip()
    if not name:
        return HTTPSeeOther(request.route_path("work"))
    return HTTPSeeOther(request.route_path("work.one", workflow_id=name))


@view_config(
    route_name="work.one",
    request_method="GET",
    permission=Permission.READ,
    renderer="workflow.jinja2",
)
def one(request: Any) -> Any:
    """One workflow, by its id or a receipt hash that leads to it."""
    services, name = request.services, request.matchdict["workflow_id"]
    asked = forms.asked(request, "run", "done")
    run = asked["run"]
    shown = service.show(services.engine, services.looking, name, run)
    if shown.work.workflow_id != name:
        found = shown.work.workflow_id
        return HTTPSeeOther(request.route_path("work.one", workflow_id=found))
    steps = dict.fromkeys(step.name for step in shown.work.steps if step.begins_at)
    return {
        "shown": shown,
        "work": shown.work,
        "bars": charts.timeline(shown.work, datetime.now(UTC)),
        "done": DONE.get(asked["done"] or ""),
        "fateful": [act for act in Act if act.changes_fate],
        "resets": list(steps),
    }
