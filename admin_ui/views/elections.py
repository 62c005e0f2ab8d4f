"""Elections: all of them, and one with its turnout, keys and policies; new ones."""

from __future__ import annotations

from typing import Any

from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from admin_ui import forms
from admin_ui.permissions import Permission
from votepyramid.db import reading
from votepyramid.elections import ceremony, overview
from votepyramid.elections.manifest import ManifestInvalid, ManifestProblem
from votepyramid.protocol.encoding import StrictJsonError, strict_json

# With the form around it, less than the server takes; larger ones by the command.
MAX_MANIFEST = 900 * 1024


@view_config(
    route_name="elections",
    request_method="GET",
    permission=Permission.READ,
    renderer="elections.jinja2",
)
def elections(request: Any) -> dict[str, Any]:
    """All elections, those that take votes first."""
    with reading(request.services.engine) as connection:
        return {"elections": overview.elections(connection)}


@view_config(
    route_name="election",
    request_method="GET",
    permission=Permission.READ,
    renderer="election.jinja2",
)
def election(request: Any) -> dict[str, Any]:
    """One election. Its tokens are counted at most once a minute."""
    services, name = request.services, request.matchdict["election"]
    with reading(services.engine) as connection:
        facts = overview.facts(connection, name)
    # Asked together, and waited for together.
    services.turnout.prepare(name)
    shown = {"end": services.closings.get(name), "turnout": services.turnout.get(name)}
    return {"facts": facts, "still": "still" in request.GET, **shown}


@view_config(
    route_name="election.statement", request_method="GET", permission=Permission.READ
)
def statement(request: Any) -> Response:
    """The signed closing statement, as it was signed."""
    with reading(request.services.engine) as connection:
        facts = overview.facts(connection, request.matchdict["election"])
    if facts.note is None:
        raise HTTPNotFound
    return Response(facts.note, content_type="text/plain", charset="utf-8")


@view_config(
    route_name="new_election",
    request_method="GET",
    permission=Permission.ADMINISTER,
    recent=True,
    renderer="new_election.jinja2",
)
def new_page(_request: Any) -> dict[str, Any]:
    """Asks for a signed manifest and the authority's key."""
    return {}


@view_config(
    route_name="new_election",
    request_method="POST",
    permission=Permission.ADMINISTER,
    unsafe=True,
    recent=True,
    renderer="new_election.jinja2",
)
def create(request: Any) -> Any:
    """Takes an election in, or says everything that stands against it."""
    form = forms.read(request, "authority", many="manifest")
    authority = form["authority"].strip()
    engine = request.services.engine_of(request.identity.name)
    try:
        signed = strict_json(
            forms.file(request, "manifest", MAX_MANIFEST), MAX_MANIFEST
        )
        made = ceremony.create(engine, signed, authority)
    except StrictJsonError as error:
        problems = [ManifestProblem("", error.problem)]
    except ManifestInvalid as error:
        problems = error.problems
    else:
        return HTTPSeeOther(request.route_path("election", election=made.id))
    request.response.status_code = 422
    return {"problems": problems, "authority": authority}
