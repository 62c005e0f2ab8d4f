"""The archive of workflow histories: what Temporal forgets after its retention.

A history is kept as it left Temporal, its payloads sealed, its times all one hour,
under a run id without a time in it (see engine/histories.py): beside the tables, exact
times would tell whose ballot is whose. What is in the archive is not changed; nobody's
grant allows it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as add

from votepyramid.audit.models import ArchivedHistory, ArchiveRun
from votepyramid.elections.models import Election

# Whose a history is that concerns all elections: of a rewrapping of keys.
EVERY = ""
# A run that is this many intervals late was missed.
MISSED_AFTER = 2
_ADD = add(ArchivedHistory).on_conflict_do_nothing().returning(ArchivedHistory.run_id)


@dataclass(frozen=True)
class Kept:
    """One history of the archive; `history` is Temporal's message, sealed within."""

    workflow_id: str
    run_id: str
    history: bytes


@dataclass(frozen=True)
class Standing:
    """When the archive was last brought up to date, and since when there is need."""

    last: datetime | None
    wanted_since: datetime | None
    now: datetime

    def overdue(self, interval: timedelta) -> bool:
        """Whether a run was missed: an alarm, before Temporal forgets something."""
        since = self.last or self.wanted_since
        return since is not None and self.now - since > MISSED_AFTER * interval


def too_rare(interval: timedelta, retention: timedelta) -> bool:
    """Whether Temporal may forget something before a missed run is an alarm."""
    return MISSED_AFTER * interval >= retention


def elections(connection: Connection) -> list[str]:
    """Elections whose histories are kept: opened, and not unlinked."""
    wanted = select(Election.id).where(
        Election.opened_at.is_not(None), Election.status != "unlinked"
    )
    return list(connection.scalars(wanted.order_by(Election.id)))


def missing(connection: Connection, run_ids: Sequence[str]) -> set[str]:
    """Those of the runs that are not in the archive."""
    there = select(ArchivedHistory.run_id).where(ArchivedHistory.run_id.in_(run_ids))
    return set(run_ids) - set(connection.scalars(there))


def keep(connection: Connection, election: str, kept: Sequence[Kept]) -> int:
    """Add histories and commit; how many. One that is there already stays as it is.

    Nothing is added when the election was unlinked meanwhile.
    """
    if not kept:
        return 0
    # In an order that says nothing of which closed when.
    shuffled = random.sample(kept, len(kept))
    rows = [{"election": election, **vars(one)} for one in shuffled]
    added = connection.scalars(_ADD, rows).all()
    # Read after the insert has its lock, which unlinking excludes.
    if election != EVERY and election not in elections(connection):
        connection.rollback()
        return 0
    connection.commit()
    return len(added)


def histories(connection: Connection, election: str) -> Iterator[Kept]:
    """All of an election, and those that concern every one, as the owner role.

    In no order that says anything.
    """
    rows = connection.execution_options(yield_per=100).execute(
        select(
            ArchivedHistory.workflow_id,
            ArchivedHistory.run_id,
            ArchivedHistory.history,
        )
        .where(ArchivedHistory.election.in_((election, EVERY)))
        .order_by(ArchivedHistory.run_id)
    )
    for row in rows:
        yield Kept(*row)


def begin(connection: Connection) -> int:
    """Note that a run begins now, by the database's clock; its number. Commits."""
    number: int = connection.execute(
        insert(ArchiveRun).returning(ArchiveRun.id)
    ).scalar_one()
    connection.commit()
    return number


def done(connection: Connection, run: int, found: int, added: int) -> None:
    """Note that a run looked at everything that was closed when it began."""
    connection.execute(
        update(ArchiveRun).where(ArchiveRun.id == run).values(found=found, added=added)
    )


def standing(connection: Connection) -> Standing:
    """Where the archive stands: by finished runs, and none of a time to come."""
    now = connection.execute(select(func.clock_timestamp())).scalar_one()
    finished = select(func.max(ArchiveRun.began_at)).where(
        ArchiveRun.found.is_not(None), ArchiveRun.began_at <= now
    )
    last = connection.scalar(finished)
    opened = select(func.min(Election.opened_at))
    wanted = connection.scalar(opened.where(Election.status.in_(("open", "closed"))))
    return Standing(last, wanted, now)
