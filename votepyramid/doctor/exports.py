"""Exports that the pages ask for: their folder, and what is in it."""

from __future__ import annotations

import os
import tempfile

from sqlalchemy import select

from votepyramid.audit.models import AskedExport
from votepyramid.auditors.exports_folder import ExportsFolder
from votepyramid.auditors.folder import SUMS, FolderError
from votepyramid.doctor.asking import Owner
from votepyramid.doctor.check import (
    Check,
    Finding,
    listed,
    ok,
    skipped,
    warning,
    wrong,
)
from votepyramid.elections.models import Election
from votepyramid.settings import Settings

SUBJECT = "exports"
_NO_FOLDER = (
    "VOTEPYRAMID_EXPORTS_FOLDER is not set here: run this where the exporting worker "
    "or the administrators' pages run"
)


def checks(settings: Settings, owner: Owner) -> list[Check]:
    """Those of the subject, in the order in which they are shown."""
    return [
        Check("exports-folder", SUBJECT, lambda: _folder(settings)),
        Check("kept-exports", SUBJECT, lambda: _kept(settings, owner)),
    ]


def _folder(settings: Settings) -> Finding:
    if not settings.exports_folder:
        return skipped(_NO_FOLDER)
    folder = ExportsFolder(settings.exports_folder)
    try:
        folder.check()
        os.listdir(folder.path)
        # Only the worker's own account writes it; the pages' reads it.
        if folder.path.stat().st_uid == os.geteuid():
            with tempfile.TemporaryFile(dir=folder.path) as file:
                file.write(b"x")
                file.flush()
                os.fsync(file.fileno())
    except FolderError as error:
        return wrong(str(error), _MEND)
    except OSError as error:
        return wrong(f"cannot use {folder.path}: {error.strerror}", _MEND)
    return ok(f"{folder.path} can be used")


_MEND = (
    "Mount the disk that it is on, or make room; give it to the account of the "
    "exporting worker, closed to others (chmod 700), or to a group that the pages' "
    "account is in (chmod 750)."
)


def _kept(settings: Settings, owner: Owner) -> Finding:
    query = (
        select(AskedExport.id, AskedExport.election, AskedExport.status)
        .add_columns(Election.status.label("now"))
        .join(Election, Election.id == AskedExport.election)
        .where(AskedExport.sums.is_not(None), AskedExport.removed_by.is_(None))
        .order_by(AskedExport.election)
    )
    with owner.connection() as connection:
        rows = connection.execute(query).all()
    if settings.exports_folder:
        folder = ExportsFolder(settings.exports_folder)
        lost = [row for row in rows if not (folder.place(str(row.id)) / SUMS).exists()]
        if lost and folder.path.is_dir():
            names = listed(f"{row.id} of {row.election}" for row in lost)
            return wrong(
                f"not in {folder.path}, or not readable: {names}",
                "Is it the folder that the exporting worker writes? Mount that one. "
                "What was deleted by hand is to be removed on the pages, too.",
            )
    linked = {r.election for r in rows if r.now == "unlinked" != r.status}
    if linked:
        return warning(
            f"unlinked, with exports from before: {listed(sorted(linked))}",
            "These have the histories that unlinking took away: once their time is "
            "over, have them removed on the pages.",
        )
    return ok(f"{len(rows)} exports, each where it belongs")
