"""One workflow with what is inside it, found by its id or by a vote's receipt hash."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import Engine, select

from votepyramid.engine import timeline
from votepyramid.engine.control import Desk, WorkRefused
from votepyramid.engine.timeline import Work
from votepyramid.votes.models import VoteGroup
from votepyramid.work.meaning import Meaning, meaning
from workflows.messages import alone

RECEIPT_HASH = re.compile(r"[0-9a-f]{64}")
# Temporal takes ids of up to a thousand bytes.
_LONGEST_ID = 1000


@dataclass(frozen=True)
class Shown:
    """A workflow, what acts on it mean, and which others hold the same vote."""

    work: Work
    meaning: Meaning
    others: tuple[str, ...]


def show(engine: Engine, desk: Desk, name: str, run_id: str | None = None) -> Shown:
    """Look at the workflow of that id, or where the vote of that receipt hash is.

    Raises WorkRefused when there is none, TemporalAway, and KeyProviderError when the
    codec's keys do not open it.
    """
    names = _workflows_of(engine, name) if RECEIPT_HASH.fullmatch(name) else [name]
    if not 0 < len(name) <= _LONGEST_ID:
        raise WorkRefused("a workflow's id has 1 to 1000 characters")
    for place, one in enumerate(names):
        work = timeline.describe(desk, one, run_id)
        if work is not None:
            with engine.connect() as connection:
                said = meaning(connection, work)
            return Shown(work, said, tuple(names[:place] + names[place + 1 :]))
    raise WorkRefused(_unknown(name, names))


def _workflows_of(engine: Engine, receipt_hash: str) -> list[str]:
    """Ids of workflows that hold the vote or had it last, the likeliest first."""
    with engine.connect() as connection:
        row = connection.execute(
            select(VoteGroup.group_id, VoteGroup.held_by).where(
                VoteGroup.receipt_hash == receipt_hash
            )
        ).first()
    if row is None:
        # It is noted a moment after the group has left it.
        return [alone("vote", receipt_hash)]
    return list(dict.fromkeys([*row.held_by, row.group_id]))


def _unknown(name: str, names: list[str]) -> str:
    if names == [name]:
        return (
            f"Temporal has no workflow {name}: look its id up with `votepyramid work "
            "list`. One that ended before the namespace's retention is in the archive "
            "alone: `votepyramid audit export`"
        )
    if names == [alone("vote", name)]:
        return (
            f"no workflow is noted for the receipt hash {name}: the vote never came, "
            "or came a few seconds ago; ask again, or see its status under "
            "/api/elections/ELECTION/receipt/HASH/"
        )
    return (
        f"the vote was in {', '.join(names)}, which Temporal has forgotten since: see "
        "`votepyramid audit export`"
    )
