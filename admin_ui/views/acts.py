"""Acts on workflows: what changes no vote's fate is done, the rest is ordered."""

from __future__ import annotations

from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.view import view_config

from admin_ui import forms, lists, pressing
from admin_ui.permissions import Permission
from votepyramid.orders import service as orders
from votepyramid.orders.what import ActOnAll, ActOnOne, What
from votepyramid.work import service as work
from votepyramid.work.service import Act, Order
from workflows import messages as m

ONE = ("workflow", "run", "act", "before", "reason")
# What a reset can go back to.
STEPS = (m.CHECK_ELIGIBILITY, m.ENCRYPT_BALLOTS, m.RECORD_VOTES)
ALL = (*lists.NARROWING, "act", "before")


@view_config(
    route_name="work.act",
    request_method="POST",
    permission=Permission.OPERATE,
    unsafe=True,
)
def act(request: Any) -> Any:
    """Does an act that changes no vote's fate to one workflow, at once."""
    form = forms.read(request, *ONE)
    services, me = request.services, request.identity.name
    one = _act(form, changes_fate=False)
    work.act(
        services.engine,
        services.desk,
        Order(one, form["reason"], by=me),
        form["workflow"],
        form["run"],
    )
    services.forget_work()
    query = {"run": form["run"], "done": one.value}
    return HTTPSeeOther(
        request.route_path("work.one", workflow_id=form["workflow"], _query=query)
    )


@view_config(
    route_name="work.order",
    request_method="POST",
    permission=Permission.ADMINISTER,
    unsafe=True,
    recent=True,
)
def order(request: Any) -> Any:
    """Orders an act that changes a vote's fate; a second administrator agrees."""
    form = forms.read(request, *ONE)
    one = _act(form, changes_fate=True)
    before = form["before"] if one is Act.RESET else None
    done = work.act(
        request.services.engine,
        request.services.desk,
        Order(one, form["reason"], before=before),
        form["workflow"],
        form["run"],
        dry_run=True,
    )
    what = ActOnOne(one, done.workflow_id, done.run_id, before)
    return _given(request, done.election, what, form["reason"])


@view_config(
    route_name="work.all",
    request_method="GET",
    permission=Permission.OPERATE,
    renderer="work_all.jinja2",
)
def all_page(request: Any) -> dict[str, Any]:
    """What an act on all that a filter finds would be."""
    asked = forms.asked(request, *ALL)
    what = _on_all(asked)
    trial = request.services.trial(what.wanted.election, what)
    listed = {n: asked[n] for n in lists.NARROWING if asked[n] and n != "state"}
    shown = {"listed": listed, "act": what.act, "steps": STEPS}
    return {"asked": asked, "found": trial, **shown}


@view_config(
    route_name="work.all",
    request_method="POST",
    permission=Permission.OPERATE,
    unsafe=True,
)
def all_at_once(request: Any) -> Any:
    """Orders an act that changes no vote's fate on all of them, and begins."""
    return _give(request, changes_fate=False)


@view_config(
    route_name="work.all.order",
    request_method="POST",
    permission=Permission.ADMINISTER,
    unsafe=True,
    recent=True,
)
def order_all(request: Any) -> Any:
    """Orders one that does; a second administrator agrees."""
    return _give(request, changes_fate=True)


def _give(request: Any, *, changes_fate: bool) -> Any:
    form = forms.read(request, *ALL, "reason")
    what = _on_all(form, changes_fate=changes_fate)
    return _given(request, what.wanted.election, what, form["reason"])


def _given(request: Any, election: str | None, what: What, reason: str) -> Any:
    engine = request.services.engine_of(request.identity.name)
    given = orders.give(engine, election, what, reason)
    if what.alone:
        return pressing.pressed(request, given)
    return HTTPSeeOther(request.route_path("order", order=given))


def _on_all(form: dict[str, Any], *, changes_fate: bool | None = None) -> ActOnAll:
    one = _act(form, changes_fate=changes_fate)
    before = form["before"] or STEPS[0] if one is Act.RESET else None
    if before not in (None, *STEPS):
        raise forms.FormInvalid("There is no such step")
    return ActOnAll(one, lists.narrowed_to(form), before)


def _act(form: dict[str, Any], *, changes_fate: bool | None = None) -> Act:
    """Raises FormInvalid for none, or one of the other sort."""
    try:
        found = Act(form["act"])
    except ValueError:
        raise forms.FormInvalid("There is no such act") from None
    if changes_fate not in (None, found.changes_fate):
        raise forms.FormInvalid("This act is not done from here")
    return found
