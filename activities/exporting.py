"""The steps that write an export and remove one. Each finds what was done before."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from sqlalchemy import Engine
from temporalio import activity

from activities.beating import beating
from activities.faults import Stopped, discreet
from votepyramid.auditors import asked
from votepyramid.keys.service import ElectionKeys
from votepyramid.settings import Settings
from workflows import messages as m

BEAT_S = 2.0
# One statement may take 30 minutes. What is quiet for longer hangs, and is given up.
QUIET_S = 45 * 60.0


class ExportSteps:
    """Of a worker with the exporter's database role."""

    def __init__(self, engine: Engine, keys: ElectionKeys, settings: Settings) -> None:
        self._engine = engine
        self._keys = keys
        self._settings = settings

    def all(self) -> list[Any]:
        """What a worker registers."""
        return [self.write_export, self.remove_files]

    @activity.defn(name=m.WRITE_EXPORT)
    @discreet
    def write_export(self, election: str) -> str:
        progress = _Progress()
        with beating(progress.said, BEAT_S):
            return asked.write(
                self._engine, self._keys, self._settings, election, progress.tell
            )

    @activity.defn(name=m.REMOVE_FILES)
    @discreet
    def remove_files(self, export: str) -> str:
        with beating():
            return asked.remove(self._engine, self._settings, export)


class _Progress:
    """What was told last, and when it changed."""

    def __init__(self) -> None:
        self._last = m.ExportProgress("what to export")
        self._changed = time.monotonic()

    def tell(self, what: str, done: int, total: int) -> None:
        """Raises Stopped: whoever takes over goes on."""
        if activity.is_worker_shutdown():
            raise Stopped
        now = m.ExportProgress(what, done, total)
        if now != self._last:
            self._last, self._changed = now, time.monotonic()

    def said(self) -> m.ExportProgress | None:
        """For the heartbeat; None when nothing has changed for too long."""
        quiet = time.monotonic() - self._changed
        if quiet > QUIET_S:
            return None
        return dataclasses.replace(self._last, quiet=round(quiet, 1))
