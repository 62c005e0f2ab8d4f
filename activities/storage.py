"""The storage step: ballots, token marks and audit events in one transaction."""

from __future__ import annotations

from sqlalchemy import Engine
from temporalio import activity

from activities.faults import discreet
from votepyramid.elections import service as elections
from votepyramid.engine import metrics
from votepyramid.keys.service import ElectionKeys
from votepyramid.votes import recording
from workflows import messages as m


class StorageSteps:
    """The only step that decides."""

    def __init__(self, engine: Engine, keys: ElectionKeys) -> None:
        self._engine = engine
        self._keys = keys

    @activity.defn(name=m.RECORD_VOTES)
    @discreet
    def record_votes(self, group: m.RecordVotesInput) -> list[m.VoteOutcome]:
        with self._engine.connect() as connection:
            election = elections.get(connection, group.election)
        outcomes = recording.record(
            self._engine, self._keys, election, group.group_id, group.votes
        )
        for outcome in outcomes:
            metrics.VOTES.labels(outcome.code or "accepted").inc()
        return outcomes
