"""Elections as administrators see them: where each stands, and its turnout.

As the administrators' role, which can read counts and no token and no ballot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, func, select

from votepyramid.elections import ending, finishing, service
from votepyramid.elections.models import Election
from votepyramid.elections.service import ElectionView
from votepyramid.eligibility.models import RosterVersion
from votepyramid.logs import queue
from votepyramid.logs.queue import Behind
from votepyramid.protocol import manifest as protocol
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.statements import ClosingStatement, open_closing
from votepyramid.tokens.models import VoteToken

# A ballot style with fewer tokens is not shown by itself: who is known to have its
# style would be known to have voted, or not.
SMALLEST_SET = 20


@dataclass(frozen=True)
class Standing:
    """An election among others; times are UTC, `clock` is the database's.

    `phase` is what a voter would say: created, announced, open, closing (claims have
    ended, ballots of the grace time are still taken), closed, finished or unlinked.
    """

    id: str
    title: str
    phase: str
    opens_at: datetime
    ends_at: datetime
    grace_ends_at: datetime
    clock: datetime


def elections(connection: Connection) -> list[Standing]:
    """All of them: those that take votes first, then the newest."""
    rows = connection.execute(
        select(Election.id, Election.title, *service.STANDING).order_by(
            Election.created_at.desc()
        )
    )
    found = [_standing(row) for row in rows]
    return sorted(found, key=lambda one: one.phase not in ("open", "closing"))


def phase(election: service.Standing, clock: datetime) -> str:
    """As in `Standing`."""
    if election.status not in ("open", "closed"):
        return election.status
    if clock < election.opens_at:
        return "announced"
    if service.claim_window(election, clock) is None:
        return "open"
    return "closing" if service.cast_window(election, clock) is None else "closed"


@dataclass(frozen=True)
class Roster:
    """One version of the roster; the newest counts."""

    version: int
    imported_at: datetime
    voters: int


@dataclass(frozen=True)
class Facts:
    """What a page of one election shows beside the manifest.

    `asked` says who wants it closed, and whether early, None while nobody does;
    `under_way` counts votes whose voters were promised an answer; `note` is the signed
    closing statement, and `closing` what it states, None for one that does not hold.
    """

    view: ElectionView
    standing: Standing
    rosters: list[Roster]
    logs: list[Behind]
    asked: Row[tuple[bool, str]] | None
    under_way: int
    note: str | None
    closing: ClosingStatement | None
    smallest: int = SMALLEST_SET


def facts(connection: Connection, election: str) -> Facts:
    """Raises Refused(ELECTION_UNKNOWN)."""
    view = service.get(connection, election)
    clock = connection.execute(select(func.clock_timestamp())).scalar_one()
    standing = Standing(
        view.id,
        view.title,
        phase(view, clock),
        view.opens_at,
        service.ends_at(view),
        service.grace_ends_at(view),
        clock,
    )
    note = finishing.closing(connection, election)
    return Facts(
        view,
        standing,
        _rosters(connection, election),
        queue.behind(connection, election),
        ending.asked(connection, election),
        finishing.under_way(connection, election),
        note,
        _opened(view, note) if note else None,
    )


def _opened(view: ElectionView, note: str) -> ClosingStatement | None:
    """None when it is not what the election's key for statements signed."""
    origin, _ = protocol.receipt_key(view.manifest)
    key = protocol.signer(view.manifest, "statements")
    try:
        return open_closing(note, origin, view.manifest_hash, key)
    except ProtocolError:
        return None


def _rosters(connection: Connection, election: str) -> list[Roster]:
    found = connection.execute(
        select(RosterVersion.version, RosterVersion.imported_at, RosterVersion.voters)
        .where(RosterVersion.election == election)
        .order_by(RosterVersion.version.desc())
    )
    return [Roster(*row) for row in found]


@dataclass(frozen=True)
class StyleTurnout:
    """Tokens of one ballot style, or of several that are small, by number."""

    styles: tuple[str, ...]
    issued: int
    used: int


@dataclass(frozen=True)
class Turnout:
    """Live tokens of an election. `eligible` counts the voters of the newest roster."""

    eligible: int
    issued: int
    used: int
    by_style: list[StyleTurnout]


def turnout(
    connection: Connection, election: str, smallest: int = SMALLEST_SET
) -> Turnout:
    """Reads every token: a million take a moment."""
    eligible = connection.scalar(
        select(RosterVersion.voters)
        .where(RosterVersion.election == election)
        .order_by(RosterVersion.version.desc())
        .limit(1)
    )
    rows = connection.execute(
        select(
            VoteToken.style,
            func.count(),
            func.count().filter(VoteToken.used),
        )
        .where(VoteToken.election == election, VoteToken.revoked_at.is_(None))
        .group_by(VoteToken.style)
    )
    found = [StyleTurnout((style,), issued, used) for style, issued, used in rows]
    return Turnout(
        eligible or 0,
        sum(one.issued for one in found),
        sum(one.used for one in found),
        pooled(found, smallest),
    )


def pooled(found: Iterable[StyleTurnout], smallest: int) -> list[StyleTurnout]:
    """Styles by name; those with fewer than `smallest` tokens together as one.

    One alone would come out by taking the others off the sum: the next larger ones go
    with it until they are two or more, and not fewer tokens than `smallest`. Where all
    together are fewer, nothing is given.
    """
    rest = sorted(found, key=lambda one: (one.issued, one.styles))
    small: list[StyleTurnout] = []
    while rest and (
        rest[0].issued < smallest
        or (small and (len(small) < 2 or _sum(small).issued < smallest))
    ):
        small.append(rest.pop(0))
    shown = sorted(rest, key=lambda one: one.styles)
    if not small:
        return shown
    pool = _sum(small)
    return [*shown, pool] if pool.issued >= smallest else shown


def _sum(found: list[StyleTurnout]) -> StyleTurnout:
    return StyleTurnout(
        tuple(sorted(style for one in found for style in one.styles)),
        sum(one.issued for one in found),
        sum(one.used for one in found),
    )


def _standing(row: Row[tuple[object, ...]]) -> Standing:
    return Standing(
        row.id,
        row.title,
        phase(row, row.clock),
        row.opens_at,
        service.ends_at(row),
        service.grace_ends_at(row),
        row.clock,
    )
