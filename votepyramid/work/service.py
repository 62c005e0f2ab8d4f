"""What an operator can see of workflows and do to them: the room's public functions.

    desk = Desk(settings)            a line to Temporal, one a process (engine.control)
    listing = Listing(desk)          what is held of its lists, one a process
    listing.page(Filter(…))          which workflows there are (engine.listing)
    listing.counts(Filter(…))        how many, by state
    listing.forget()                 after an act: what is held of lists is old
    show(engine, desk, name)         one, with its steps and what acts on it would mean
    act(engine, desk, Order(…), id)  retry, pause, resume, cancel, terminate or reset it
    act_on_all(engine, desk, listing, Order(…), Filter(…))
                                     the same to a page of those that a filter finds

`dry_run=True` does nothing and gives the same answer. `Act.changes_fate` says whether a
second administrator has to agree: whoever calls sees to that, and names both in the
Order. `engine` is of the owner's role or of that of the administrators' pages. Answers
are frozen dataclasses. A workflow is found by its id or by a vote's receipt hash, never
by a voter: nothing here goes from a person to their workflow.
"""

from __future__ import annotations

from sqlalchemy import Engine

from votepyramid.engine.acts import Act
from votepyramid.engine.control import Desk, WorkRefused
from votepyramid.engine.listing import (
    PAGE,
    Counts,
    Filter,
    Listed,
    Listing,
    Page,
    State,
)
from votepyramid.engine.timeline import Step, Work
from votepyramid.work import acting, bulk
from votepyramid.work.acting import Done, Order
from votepyramid.work.bulk import Batch
from votepyramid.work.looking import RECEIPT_HASH, Shown, show
from votepyramid.work.meaning import Fate, Meaning

__all__ = [
    "Act",
    "Batch",
    "Counts",
    "Desk",
    "Done",
    "Fate",
    "Filter",
    "Listed",
    "Listing",
    "Meaning",
    "Order",
    "Page",
    "Shown",
    "State",
    "Step",
    "Work",
    "act",
    "act_on_all",
    "show",
]


def act(
    engine: Engine,
    desk: Desk,
    order: Order,
    workflow_id: str,
    run_id: str | None = None,
    *,
    dry_run: bool = False,
) -> Done:
    """Do it to one workflow, by its id, and to the run that was looked at, if given.

    It becomes an audit event of the election before it is done, and another one if
    Temporal does not say that it was. Raises WorkRefused when there is no such workflow
    or it cannot be done now, TemporalAway, and Refused(ELECTION_UNKNOWN).
    """
    if RECEIPT_HASH.fullmatch(workflow_id):
        # Others may be in the same group, and would share what is done to it.
        raise WorkRefused("give the workflow's id: `votepyramid work show` names it")
    found = show(engine, desk, workflow_id, run_id)
    plan = acting.plan(order, found.work, found.meaning)
    if dry_run:
        return plan
    return acting.carry_out(engine, desk, order, found.work, plan)


def act_on_all(
    engine: Engine,
    desk: Desk,
    listing: Listing,
    order: Order,
    wanted: Filter,
    *,
    after: str | None = None,
    size: int = PAGE,
    dry_run: bool = False,
) -> Batch:
    """Do it to each running workflow of a page of the list; `next` leads to the rest.

    What cannot be done is told beside what was done. Raises WorkRefused for an
    impossible question, and TemporalAway and ProtocolError as `listing.page`.
    """
    return bulk.act_on_page(engine, desk, listing, order, wanted, after, size, dry_run)
