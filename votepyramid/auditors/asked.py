"""What the exporting worker does: it writes what is asked for, and removes it again.

Run as the exporter's role. Each looks first, and finds what was done before.
"""

from __future__ import annotations

import time
import uuid

from sqlalchemy import Engine

from votepyramid.audit import asked_exports
from votepyramid.audit.asked_exports import Made
from votepyramid.audit.operators import acting_as
from votepyramid.auditors import exporting
from votepyramid.auditors.case import Tell
from votepyramid.auditors.exports_folder import ExportsFolder
from votepyramid.keys.service import ElectionKeys
from votepyramid.settings import Settings

LOOK_EVERY_S = 2.0


class _CalledOff(Exception):
    """Somebody wants it removed while it is written."""


def write(
    engine: Engine, keys: ElectionKeys, settings: Settings, election: str, tell: Tell
) -> str:
    """Write the export that is asked for, and note what it came to; its id.

    Empty when none is asked for, or not any more. Cut off, it goes on in the same
    folder. Raises as `exporting.write`.
    """
    with engine.connect() as connection:
        wanted = asked_exports.wanted(connection, election)
    if wanted is None:
        return ""
    folder, name = ExportsFolder(settings.exports_folder), str(wanted.id)
    with folder.held(name) as place:
        watch = _Watch(engine, wanted.id, tell)
        try:
            # Whoever held it before may have finished it.
            watch.look()
            folder.reopen(name)
            how = settings.export_wait
            done = exporting.write(engine, keys, settings, election, place, watch, how)
        except _CalledOff:
            return ""
        size = folder.share(name)
        made = Made(done.status, done.files, size, done.sums, done.wanting)
        with acting_as(engine, wanted.asked_by).begin() as connection:
            if not asked_exports.finish(connection, wanted.id, made):
                return ""
            exporting.note(connection, election, done)
    return name


def remove(engine: Engine, settings: Settings, export: str) -> str:
    """Delete the files of an export that somebody wants gone; its id.

    Empty when nobody does, or they are gone. Raises FolderError.
    """
    which = uuid.UUID(export)
    with engine.connect() as connection:
        if not asked_exports.is_unwanted(connection, which):
            return ""
    folder = ExportsFolder(settings.exports_folder)
    with folder.held(export):
        folder.remove(export)
        with engine.begin() as connection:
            asked_exports.note_gone(connection, which)
    return export


class _Watch:
    """Tells on, and looks now and then whether the export is still wanted."""

    def __init__(self, engine: Engine, export: uuid.UUID, tell: Tell) -> None:
        self._engine, self._export, self._tell = engine, export, tell
        self._next = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        self._tell(what, done, total)
        if time.monotonic() >= self._next:
            self.look()

    def look(self) -> None:
        """Raises _CalledOff."""
        with self._engine.connect() as connection:
            if not asked_exports.is_wanted(connection, self._export):
                raise _CalledOff
        self._next = time.monotonic() + LOOK_EVERY_S
