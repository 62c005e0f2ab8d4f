"""The same act on every workflow that a filter finds, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Engine

from votepyramid.engine import acts
from votepyramid.engine.control import Desk, TemporalAway, WorkRefused
from votepyramid.engine.listing import LARGEST_PAGE, Filter, Listing, State
from votepyramid.errors import Refused
from votepyramid.keys.provider import KeyProviderError
from votepyramid.work import acting, looking
from votepyramid.work.acting import Done, Order

_SEALED = (
    "the payload keys of this process (codec_keys_file) do not open it, so nobody can "
    "say what is inside: put the key back that it was written with"
)


@dataclass(frozen=True)
class Batch:
    """One page's workflows: what was done, or would be, and what could not.

    `refused` has a sentence by workflow id. `next` is where the next page begins,
    None after the last. `away` is that Temporal went away, or refused: then `next` is
    this page's own place, and what was done before is in `done`.
    """

    done: tuple[Done, ...]
    refused: dict[str, str]
    next: str | None
    away: TemporalAway | None = None

    @property
    def votes(self) -> int:
        """How many votes nothing but these workflows has."""
        return sum(one.votes for one in self.done)


def act_on_page(
    engine: Engine,
    desk: Desk,
    listing: Listing,
    order: Order,
    wanted: Filter,
    after: str | None,
    size: int,
    dry_run: bool,
) -> Batch:
    """Each is looked at anew, and is an audit event of its own."""
    if not 1 <= size <= LARGEST_PAGE:
        raise WorkRefused(f"a page has 1 to {LARGEST_PAGE} workflows")
    page = listing.page(replace(wanted, states=frozenset({State.RUNNING})), after, size)
    if not dry_run:
        listing.forget()
    done: list[Done] = []
    refused: dict[str, str] = {}
    for one in page.workflows:
        if one.kind not in acts.KINDS:
            continue
        try:
            found = looking.show(engine, desk, one.workflow_id, one.run_id)
            plan = acting.plan(order, found.work, found.meaning)
            if not dry_run:
                plan = acting.carry_out(engine, desk, order, found.work, plan)
            done.append(plan)
        except TemporalAway as error:
            return Batch(tuple(done), refused, after, error)
        except (WorkRefused, Refused) as error:
            refused[one.workflow_id] = str(error)
        except KeyProviderError:
            # It must not stand in the way of all that come after it.
            refused[one.workflow_id] = f"{one.workflow_id}: {_SEALED}"
    return Batch(tuple(done), refused, page.next)
