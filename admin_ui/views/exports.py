"""Exports for auditors: asked for, watched, downloaded, and removed."""

from __future__ import annotations

import uuid
from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from admin_ui import forms
from admin_ui.permissions import Permission
from votepyramid.audit import asked_exports
from votepyramid.audit.asked_exports import ExportRefused
from votepyramid.auditors import packing
from votepyramid.auditors.exports_folder import ExportsFolder
from votepyramid.db import reading
from votepyramid.elections import overview


@view_config(
    route_name="audit.exports",
    request_method="GET",
    permission=Permission.AUDIT,
    renderer="audit_exports.jinja2",
)
def exports(request: Any) -> dict[str, Any]:
    """Those that are made or removed just now, and those that are there."""
    services = request.services
    with reading(services.engine) as connection:
        found = asked_exports.listed(connection)
        elections = overview.elections(connection)
    doing = [one for one in found if not one.there]
    told = services.exports.get_all(one.workflow for one in doing)
    return {
        "under_way": list(zip(doing, told, strict=True)),
        "still": "still" in request.GET,
        "finished": [one for one in found if one.there],
        "elections": [one.id for one in elections],
        "unlinked": {one.id for one in elections if one.phase == "unlinked"},
        "here": bool(services.settings.exports_folder),
    }


@view_config(
    route_name="audit.exports",
    request_method="POST",
    permission=Permission.AUDIT,
    unsafe=True,
)
def start(request: Any) -> Any:
    """Has an election exported, or joins the export that is under way."""
    services = request.services
    election = forms.read(request, "election")["election"]
    _folder(request)
    engine = services.engine_of(request.identity.name)
    asked_exports.ask(engine, services.desk, election)
    return _back(request)


@view_config(
    route_name="audit.export.download",
    request_method="POST",
    permission=Permission.EXPORT,
    unsafe=True,
    recent=True,
)
def download(request: Any) -> Response:
    """The export as a tar, made while it is sent."""
    services, export = request.services, _id(request)
    forms.read(request)
    with reading(services.engine) as connection:
        found, made = asked_exports.readable(connection, export)
    place, name = _folder(request).place(str(export)), f"export-{found.election}"
    packing.check(place, made.sums)
    pieces, file = packing.stream(place, name), f"{name}-{str(export)[:8]}.tar"
    with services.downloads.begin(pieces, made.bytes, file) as answer:
        asked_exports.note_download(services.engine_of(request.identity.name), export)
    return answer


@view_config(
    route_name="audit.export.remove",
    request_method="POST",
    permission=Permission.ADMINISTER,
    unsafe=True,
    recent=True,
)
def remove(request: Any) -> Any:
    """Has an export removed; one that is not finished is called off."""
    services, export = request.services, _id(request)
    forms.read(request)
    engine = services.engine_of(request.identity.name)
    asked_exports.remove(engine, services.desk, export)
    return _back(request)


def _folder(request: Any) -> ExportsFolder:
    folder = request.services.settings.exports_folder
    if not folder:
        raise ExportRefused(
            "the folder of exports is not known to these pages: set exports_folder"
        )
    return ExportsFolder(folder)


def _id(request: Any) -> uuid.UUID:
    return forms.named(request, "export")


def _back(request: Any) -> HTTPSeeOther:
    request.services.exports.forget()
    return HTTPSeeOther(request.route_path("audit.exports"))
