"""The token step: issue and audit in one transaction, where the issuance key is."""

from __future__ import annotations

from sqlalchemy import Engine
from temporalio import activity

from activities.faults import discreet
from votepyramid.elections import service as elections
from votepyramid.engine import metrics
from votepyramid.keys.service import ElectionKeys
from votepyramid.tokens import service as tokens
from workflows import messages as m


class TokenSteps:
    """Derives each bearer to know its id, and forgets it."""

    def __init__(self, engine: Engine, keys: ElectionKeys) -> None:
        self._engine = engine
        self._keys = keys

    @activity.defn(name=m.ISSUE_TOKENS)
    @discreet
    def issue_tokens(self, group: m.IssueTokensInput) -> list[m.ClaimOutcome]:
        with self._engine.connect() as connection:
            election = elections.get(connection, group.election)
        outcomes = tokens.issue(
            self._engine,
            self._keys,
            election,
            group.group_id,
            group.claims,
            group.verdicts,
        )
        for outcome in outcomes:
            metrics.CLAIMS.labels(outcome.code or "issued").inc()
        return outcomes
