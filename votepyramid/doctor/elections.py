"""The elections: their histories are archived, and each is brought to its end."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, func, select

from votepyramid.audit import archive
from votepyramid.doctor.asking import Owner
from votepyramid.doctor.check import Check, Finding, listed, ok, warning, wrong
from votepyramid.elections.models import Election
from votepyramid.engine import upkeep
from votepyramid.settings import Settings

SUBJECT = "elections"
# A person closes and finishes; nobody needs to do so in the middle of the night.
_A_DAY = timedelta(days=1)


def checks(settings: Settings, owner: Owner) -> list[Check]:
    """Those of the subject, in the order in which they are shown."""
    return [
        Check("archive", SUBJECT, lambda: _archive(settings, owner)),
        Check("endings", SUBJECT, lambda: _endings(owner)),
    ]


def _archive(settings: Settings, owner: Owner) -> Finding:
    with owner.connection() as connection:
        standing = archive.standing(connection)
    if standing.overdue(upkeep.interval(settings)):
        last = (
            f"the last began at {standing.last:%Y-%m-%dT%H:%M:%SZ}"
            if standing.last
            else "none was ever finished"
        )
        return wrong(
            f"a run of the archive was missed: {last}",
            'See "Histories are not archived" in docs/runbook.md, before Temporal '
            "forgets them.",
        )
    return ok("histories are archived in time")


def _endings(owner: Owner) -> Finding:
    query = select(
        Election.id,
        Election.status,
        Election.closes_at,
        Election.closed_at,
        func.clock_timestamp().label("now"),
    ).where(Election.status.in_(("open", "closed")))
    with owner.connection() as connection:
        rows = connection.execute(query.order_by(Election.id)).all()
    unclosed = _older(rows, "open")
    unfinished = _older(rows, "closed")
    if not unclosed and not unfinished:
        return ok("none waits to be closed or finished")
    said = [f"{one} is past its closing time and not closed" for one in unclosed]
    said += [f"{one} is closed and not finished" for one in unfinished]
    return warning(
        f"for over a day: {listed(said)}",
        "Run: votepyramid election close ELECTION; it says what it waits for. Until "
        "then no closing statement says what the final log is.",
    )


def _older(rows: Iterable[Row[Any]], status: str) -> list[str]:
    return [
        row.id
        for row in rows
        if row.status == status and row.now - (row.closed_at or row.closes_at) > _A_DAY
    ]
