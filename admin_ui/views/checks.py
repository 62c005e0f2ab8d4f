"""What auditors check at the pages: a receipt, and the logs."""

from __future__ import annotations

import re
from typing import Any

from pyramid.view import view_config

from admin_ui import forms
from admin_ui.permissions import Permission
from votepyramid.auditors import checking
from votepyramid.db import reading
from votepyramid.elections import overview
from votepyramid.protocol.encoding import ProtocolError

_HASH = re.compile(r"[0-9a-f]{64}")


@view_config(
    route_name="audit.checks",
    request_method="GET",
    permission=Permission.AUDIT,
    renderer="audit_checks.jinja2",
)
def checks(request: Any) -> dict[str, Any]:
    """The checks that there are; with an election, how its logs stand."""
    election = forms.asked(request, "election")["election"]
    return _page(request, election)


@view_config(
    route_name="audit.checks",
    request_method="POST",
    permission=Permission.AUDIT,
    unsafe=True,
    renderer="audit_checks.jinja2",
)
def receipt(request: Any) -> dict[str, Any]:
    """Checks a receipt; changes nothing. In a form, so that no address names it."""
    form = forms.read(request, "election", "receipt", longest=checking.MAX_RECEIPT)
    asked = form["receipt"].strip()
    wanted = asked if _HASH.fullmatch(asked) else asked.encode()
    shown = _page(request, form["election"]) | {"asked": asked}
    try:
        engine = request.services.engine
        found = checking.check_receipt(engine, form["election"], wanted)
    except ProtocolError as error:
        request.response.status_code = 422
        return shown | {"problem": f"this is no receipt: {error.problem}"}
    return shown | {"found": found}


def _page(request: Any, election: str | None) -> dict[str, Any]:
    services = request.services
    with reading(services.engine) as connection:
        known = [one.id for one in overview.elections(connection)]
    logs = services.log_checks.get(election) if election in known else None
    return {"elections": known, "election": election, "logs": logs}
