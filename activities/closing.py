"""The steps of closing an election. Each finds what was done before, and says so."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine
from temporalio import activity

from activities.beating import beating
from activities.faults import discreet
from votepyramid.elections import ending
from votepyramid.keys.service import ElectionKeys
from workflows import messages as m


class ClosingSteps:
    """Of a worker with the closer's database role."""

    def __init__(self, engine: Engine, keys: ElectionKeys) -> None:
        self._engine = engine
        self._keys = keys

    def all(self) -> list[Any]:
        """What a worker registers."""
        return [self.close_when_due, self.look_at_closing, self.sign_closing]

    @activity.defn(name=m.CLOSE_WHEN_DUE)
    @discreet
    def close_when_due(self, election: str) -> m.ClosingSeen:
        return ending.close_when_due(self._engine, election)

    @activity.defn(name=m.LOOK_AT_CLOSING)
    @discreet
    def look_at_closing(self, election: str) -> m.ClosingSeen:
        with self._engine.connect() as connection:
            return ending.look(connection, election)

    @activity.defn(name=m.SIGN_CLOSING)
    @discreet
    def sign_closing(self, election: str) -> m.ClosingSeen:
        with beating():
            return ending.sign(self._engine, self._keys, election)
