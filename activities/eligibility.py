"""The eligibility steps: may this ballot be cast, may this voter claim."""

from __future__ import annotations

from sqlalchemy import Engine
from temporalio import activity

from activities.faults import discreet
from votepyramid.elections import service as elections
from votepyramid.tokens import service as tokens
from votepyramid.votes import service as votes
from workflows import messages as m


class EligibilitySteps:
    """Reads only; repeating them is always safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @activity.defn(name=m.CHECK_ELIGIBILITY)
    @discreet
    def check_eligibility(self, group: m.CheckEligibilityInput) -> list[m.Verdict]:
        with self._engine.connect() as connection:
            election = elections.get(connection, group.election)
            return votes.check(connection, election, group.group_id, group.votes)

    @activity.defn(name=m.CHECK_CLAIMS)
    @discreet
    def check_claims(self, group: m.ClaimTokensInput) -> list[m.ClaimVerdict]:
        with self._engine.connect() as connection:
            election = elections.get(connection, group.election)
            return tokens.check_claims(connection, election, group.claims)
