"""Which workflows hold a vote, for its 202 status and for whoever looks for it.

A vote that is sent twice can be held by two groups of two web processes, and one that
the database refused goes on in a workflow of its own. It is under way for as long as
one of them holds it: each takes only itself away, and the last to go says how the vote
ended. So a group that is ended by an operator says nothing of a vote that another
group still holds.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    Connection,
    Text,
    any_,
    bindparam,
    case,
    cast,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql.elements import ColumnElement

from votepyramid.votes.models import VoteGroup
from workflows.messages import alone

# Outcome of a vote whose workflows were ended before it was decided: as if never sent.
ENDED = "ended"

# Made once: putting statements together for each group costs more than running them.
_NEW = insert(VoteGroup)
_NEW_ROW = _NEW.excluded
_RECORDED = _NEW.on_conflict_do_update(
    index_elements=["receipt_hash"],
    set_={"group_id": _NEW_ROW.group_id, "held_by": [], "outcome": None},
)
_OTHERS = func.array_remove(VoteGroup.held_by, _NEW_ROW.group_id)
_HANDED_OVER = _NEW.on_conflict_do_update(
    index_elements=["receipt_hash"],
    set_={
        "group_id": _NEW_ROW.group_id,
        "held_by": func.array_remove(_OTHERS, _NEW_ROW.held_by[1]).concat(
            _NEW_ROW.held_by
        ),
        "outcome": None,
    },
)
_NOTED = _NEW.on_conflict_do_update(
    index_elements=["receipt_hash"],
    set_={
        "group_id": _NEW_ROW.group_id,
        "held_by": _OTHERS.concat(_NEW_ROW.held_by),
        "outcome": None,
    },
    # Noted before, or decided or handed over by this very group in the meantime.
    where=VoteGroup.group_id != _NEW_ROW.group_id,
)


def holds(workflow_id: ColumnElement[str] | str) -> ColumnElement[bool]:
    """That a workflow holds a vote, or had it last."""
    # Rows of code that knew one holder only name it in `group_id` alone.
    return or_(
        any_(VoteGroup.held_by) == workflow_id, VoteGroup.group_id == workflow_id
    )


_WORKFLOW = bindparam("workflow", type_=Text)
_LEFT = func.array_remove(VoteGroup.held_by, _WORKFLOW)
_LET_GO = (
    update(VoteGroup)
    .where(VoteGroup.receipt_hash.in_(bindparam("receipt_hashes", expanding=True)))
    .values(
        held_by=_LEFT,
        outcome=case((func.cardinality(_LEFT) == 0, bindparam("code", type_=Text))),
    )
)
_HOLDS = holds(_WORKFLOW)
_SETTLE = _LET_GO.where(VoteGroup.outcome.is_(None), _HOLDS)
_REFUSE = _LET_GO.where(or_(VoteGroup.outcome.is_not(None), _HOLDS))


def note(
    connection: Connection, election: str, receipt_hash: str, group_id: str
) -> None:
    """Note that a group holds a vote, before its voter is told 202."""
    connection.execute(_NOTED, _row(election, receipt_hash, group_id, [group_id]))


def settle(
    connection: Connection, receipt_hash: str, workflow_id: str, code: str
) -> None:
    """A workflow that held a vote has ended. `code` says how, if it was the last.

    Nothing that was decided before is changed, and nothing for other holders.
    """
    connection.execute(_SETTLE, _let_go([receipt_hash], workflow_id, code))


def ended(
    connection: Connection, receipt_hashes: Sequence[str], workflow_id: str
) -> None:
    """`settle` with ENDED, by the function that the administrators' role may call."""
    hashes = cast(list(receipt_hashes), ARRAY(Text))
    connection.execute(select(func.votes_ended(workflow_id, hashes)))


def refused(
    connection: Connection, receipt_hashes: Sequence[str], workflow_id: str, code: str
) -> None:
    """The same inside the transaction that refuses the votes; the latest code counts.

    Only where a row stands: a refusal at once leaves none, so that a flood cannot.
    """
    connection.execute(_REFUSE, _let_go(receipt_hashes, workflow_id, code))


def hand_over(
    connection: Connection, election: str, receipt_hashes: Sequence[str], group_id: str
) -> None:
    """A group leaves votes to workflows of their own, in its deciding transaction.

    Thus before these start: whatever one of them writes comes after.
    """
    if receipt_hashes:
        connection.execute(
            _HANDED_OVER,
            [_row(election, h, group_id, [alone("vote", h)]) for h in receipt_hashes],
        )


def recorded(
    connection: Connection, election: str, receipt_hashes: Sequence[str], group_id: str
) -> None:
    """Write which workflow recorded these votes, apart from their rows."""
    if receipt_hashes:
        connection.execute(
            _RECORDED, [_row(election, h, group_id, []) for h in receipt_hashes]
        )


def _row(
    election: str, receipt_hash: str, group_id: str, held_by: list[str]
) -> dict[str, object]:
    return {
        "receipt_hash": receipt_hash,
        "election": election,
        "group_id": group_id,
        "held_by": held_by,
    }


def _let_go(
    receipt_hashes: Sequence[str], workflow_id: str, code: str
) -> dict[str, object]:
    return {"receipt_hashes": receipt_hashes, "workflow": workflow_id, "code": code}
