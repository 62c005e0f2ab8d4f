"""The steps by which a closing brings an election to its end, and what it waits for.

Run as the closer's role: it does what `election_closings` asks for and nothing else,
which the database sees to as well. Each step looks first, and finds what was done.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.engine import Row

from votepyramid.audit.operators import acting_as
from votepyramid.elections import ceremony, finishing, service
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.elections.finishing import NotYet
from votepyramid.elections.models import Election, ElectionClosing
from votepyramid.elections.service import ElectionView
from votepyramid.keys.service import ElectionKeys
from workflows import messages as m

_BEFORE = frozenset({"created", "open"})


def asked(connection: Connection, election: str) -> Row[tuple[bool, str]] | None:
    """Who asked for the closing (`asked_by`), and whether `early`; None: nobody."""
    return connection.execute(
        select(ElectionClosing.early, ElectionClosing.asked_by).where(
            ElectionClosing.election == election
        )
    ).first()


def awaited(connection: Connection) -> int:
    """How many elections are to be closed and have no closing statement yet."""
    counted = connection.scalar(
        select(func.count())
        .select_from(ElectionClosing)
        .join(Election, Election.id == ElectionClosing.election)
        .where(Election.status.not_in(service.OVER))
    )
    return counted or 0


def close_when_due(engine: Engine, election: str) -> m.ClosingSeen:
    """Close an election that is to be closed now.

    Raises Refused(ELECTION_UNKNOWN).
    """
    with engine.connect() as connection:
        wish = asked(connection, election)
    by = engine if wish is None else acting_as(engine, wish.asked_by)
    with ceremony.changing(by, election) as (connection, view, now):
        if view.status not in _BEFORE:
            return m.ClosingSeen(m.GRACE, done=True)
        # Looked at again: it may just have been called off.
        wish = asked(connection, election)
        if wish is not None and view.status == "open":
            if now < view.closes_at and not wish.early:
                return _announced(view, now)
            ceremony.shut(connection, election, now)
            return m.ClosingSeen(m.GRACE, done=True)
    return _not_asked(election)


def look(connection: Connection, election: str) -> m.ClosingSeen:
    """Where an election stands on its way to the end. Changes nothing.

    Raises Refused(ELECTION_UNKNOWN).
    """
    view = service.get(connection, election)
    if view.status in service.OVER:
        return m.ClosingSeen(m.FINISHED, done=True)
    now = connection.execute(select(func.clock_timestamp())).scalar_one()
    if view.status in _BEFORE:
        wish = asked(connection, election)
        return _not_asked(election) if wish is None else _announced(view, now)
    try:
        finishing.check_ready(connection, view)
    except CeremonyError as error:
        return _hindered(error, now)
    return m.ClosingSeen(m.SIGNING, done=True)


def sign(engine: Engine, keys: ElectionKeys, election: str) -> m.ClosingSeen:
    """Sign the closing statement, or find that it is signed.

    Raises Refused(ELECTION_UNKNOWN) and KeyProviderError.
    """
    with engine.connect() as connection:
        wish = asked(connection, election)
        now = connection.execute(select(func.clock_timestamp())).scalar_one()
    if wish is None:
        return _not_asked(election)
    try:
        finishing.finish(acting_as(engine, wish.asked_by), keys, election)
    except CeremonyError as error:
        return _hindered(error, now)
    return m.ClosingSeen(m.FINISHED, done=True)


def _announced(view: ElectionView, now: datetime) -> m.ClosingSeen:
    left = (view.closes_at - now).total_seconds()
    said = f"claims are taken until {view.closes_at:%Y-%m-%dT%H:%M:%SZ}"
    return m.ClosingSeen(m.ANNOUNCED, said, view.closes_at.isoformat(), max(0.0, left))


def _not_asked(election: str) -> m.ClosingSeen:
    said = f"nobody asks for election {election!r} to be closed"
    return m.ClosingSeen(m.NOT_ASKED, said)


def _hindered(error: CeremonyError, now: datetime) -> m.ClosingSeen:
    """What waiting mends, or what a person has to."""
    if not isinstance(error, NotYet):
        return m.ClosingSeen(m.SIGNING, str(error), trouble=True)
    if error.until is None:
        return m.ClosingSeen(error.phase, str(error))
    left = (error.until - now).total_seconds()
    return m.ClosingSeen(
        error.phase, str(error), error.until.isoformat(), max(0.0, left)
    )
