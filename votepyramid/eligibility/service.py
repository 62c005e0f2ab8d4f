"""Who may vote, decided for a whole group with one read.

The same function serves claims and the recheck at a cast: eligibility is whatever
the election's policy says of the voter's row in the current roster version.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from votepyramid.elections import service as elections
from votepyramid.elections.models import Election
from votepyramid.elections.service import ElectionView
from votepyramid.eligibility import policy
from votepyramid.eligibility.models import RosterRow
from votepyramid.eligibility.policy import Action, ElectionFacts, VoterFacts
from votepyramid.errors import Code, Refused

NOT_ON_ROSTER = "not_on_roster"
WRONG_PRECINCT = "wrong_precinct"


class PolicyChanged(RuntimeError):
    """The policy as compiled is not the one the election was created with."""


@dataclass(frozen=True)
class Assessment:
    """`reason` is None exactly when allowed; `style` is then never None.

    `style` is the one asked for or, when none was, the one of the voter's precinct.
    `roster_version` is the version that was looked at.
    """

    allowed: bool
    reason: str | None
    style: str | None
    roster_version: int


def assess(
    connection: Connection,
    election: ElectionView,
    refs: Sequence[uuid.UUID | None],
    styles: Sequence[str | None],
    action: Action,
    at: Sequence[datetime] | None = None,
) -> list[Assessment]:
    """One assessment a voter, in order, on the current roster version.

    `styles` are those asked for (claim) or issued (cast). `at` is when each request
    arrived; without it a claim is judged by the database's clock, and a cast as in
    time, because its arrival was judged already. Under the late-change rule
    "honour" a cast is not looked at again: the token that was issued stands.

    Raises PolicyChanged, and Refused(ELECTION_UNKNOWN).
    """
    rules = _rules(election)
    if action == "cast" and _honours(election):
        version = election.roster_version
        return [Assessment(True, None, style, version) for style in styles]
    now, version, rows = _read(connection, election.id, refs)
    arrivals: Sequence[datetime | None] = at or ()
    if at is None:
        arrivals = [now if action == "claim" else None] * len(refs)
    cases, chosen = [], []
    for ref, asked, arrival in zip(refs, styles, arrivals, strict=True):
        voter = _voter_facts(ref, rows.get(ref) if ref else None)
        style = asked or elections.precinct_style(election, voter.precinct)
        cases.append((voter, _election_facts(election, style, action, arrival)))
        chosen.append(style)
    decisions = rules.decide_all(cases, action)
    return [
        _floor(Assessment(d.allowed, d.reason, style, version), *case)
        for d, style, case in zip(decisions, chosen, cases, strict=True)
    ]


def _election_facts(
    election: ElectionView, style: str | None, action: Action, at: datetime | None
) -> ElectionFacts:
    precincts = elections.style_precincts(election, style) or frozenset()
    window = elections.claim_window if action == "claim" else elections.cast_window
    accepting = at is None or window(election, at) is None
    return ElectionFacts(style or "", precincts, accepting)


def _rules(election: ElectionView) -> policy.PolicySet:
    rules = policy.load(election.manifest["eligibility"])
    if rules.hash != election.policy_hash:
        # Better to stop than to judge voters by rules nobody signed.
        raise PolicyChanged(f"election {election.id!r}: the policy hash has changed")
    return rules


def _honours(election: ElectionView) -> bool:
    return bool(election.manifest["eligibility"]["late_changes"] == "honour")


def _read(
    connection: Connection, election_id: str, refs: Sequence[uuid.UUID | None]
) -> tuple[datetime, int, dict[uuid.UUID, Any]]:
    """The clock, the current roster version, and the voters' rows in it: one query."""
    wanted = sorted({ref for ref in refs if ref is not None})
    current = (
        select(func.clock_timestamp().label("now"), Election.roster_version)
        .where(Election.id == election_id)
        .cte("current")
    )
    query = select(
        current.c.now,
        current.c.roster_version,
        RosterRow.voter,
        RosterRow.precinct,
        RosterRow.attributes,
    ).select_from(
        current.outerjoin(
            RosterRow,
            (RosterRow.election == election_id)
            & (RosterRow.version == current.c.roster_version)
            & RosterRow.voter.in_(wanted),
        )
    )
    found = connection.execute(query).all()
    if not found:
        raise Refused(Code.ELECTION_UNKNOWN)
    rows = {row.voter: row for row in found if row.voter is not None}
    return found[0].now, found[0].roster_version, rows


def _voter_facts(ref: uuid.UUID | None, row: Any) -> VoterFacts:
    if row is None:
        return VoterFacts(ref=str(ref or ""), on_roster=False)
    return VoterFacts(str(ref), True, row.precinct, row.attributes)


def _floor(
    assessment: Assessment, voter: VoterFacts, election: ElectionFacts
) -> Assessment:
    """What no policy can grant: a token off the roster, or of no ballot style."""
    if not assessment.allowed:
        return assessment
    if not voter.on_roster:
        return Assessment(False, NOT_ON_ROSTER, None, assessment.roster_version)
    if not election.precincts:
        return Assessment(False, WRONG_PRECINCT, None, assessment.roster_version)
    return assessment
