"""What an order would mean if it were carried out now, worked out and not done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec
from sqlalchemy import Engine

from votepyramid.elections import finishing
from votepyramid.engine.control import Desk, WorkRefused
from votepyramid.engine.listing import LARGEST_PAGE, Listing, State
from votepyramid.orders.what import ActOnAll, ActOnOne, CloseEarly, Settle, What
from votepyramid.work import acting
from votepyramid.work import service as work
from votepyramid.work.bulk import Batch

# So many pages of a list are looked into before anything is ordered: 1,000 workflows.
PAGES = 5
_ANY_REASON = "only tried"


@dataclass(frozen=True)
class Trial:
    """What it would mean now.

    `said` is a sentence or two. Of an act on many, `found` workflows there are, as
    Temporal counts; of the first `looked_at` it can be done to `possible`, with `votes`
    that nothing else has, and to the others not, for the reasons in `refused`. With
    `more` there are some that were not looked at.
    """

    said: str = ""
    found: int = 1
    looked_at: int = 1
    possible: int = 1
    votes: int = 0
    refused: list[str] = field(default_factory=list)
    more: bool = False


class Question(msgspec.Struct, frozen=True):
    """An order to be tried, in one text, for whoever keeps answers."""

    election: str | None
    what: What

    def key(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def read(cls, key: str) -> Question:
        return msgspec.json.decode(key, type=cls)


def try_out(
    engine: Engine,
    desk: Desk,
    listing: Listing,
    asked: Question,
    size: int = LARGEST_PAGE,
) -> Trial:
    """A list is looked into for PAGES pages of `size` workflows.

    Raises TemporalAway, and as `listing.page`.
    """
    what = asked.what
    if isinstance(what, ActOnOne):
        return _one(engine, desk, what)
    if isinstance(what, ActOnAll):
        return _all(engine, desk, listing, what, size)
    return _election(engine, asked.election or "", what)


def _one(engine: Engine, desk: Desk, what: ActOnOne) -> Trial:
    order = acting.Order(what.act, _ANY_REASON, before=what.before)
    where: Any = (what.workflow_id, what.run_id)
    try:
        done = work.act(engine, desk, order, *where, dry_run=True)
    except WorkRefused as error:
        return Trial(str(error), possible=0)
    return Trial(done.said, votes=done.votes)


def _all(
    engine: Engine, desk: Desk, listing: Listing, what: ActOnAll, size: int
) -> Trial:
    counts = listing.counts(what.wanted)
    pages = list(islice(_pages(engine, desk, listing, what, size), PAGES))
    possible = sum(len(page.done) for page in pages)
    refused = [why for page in pages for why in page.refused.values()]
    looked_at, more = possible + len(refused), pages[-1].next is not None
    running = counts.states.get(State.RUNNING, 0) if more else 0
    found, votes = max(looked_at, running), sum(page.votes for page in pages)
    return Trial("", found, looked_at, possible, votes, refused, more)


def _pages(
    engine: Engine, desk: Desk, listing: Listing, what: ActOnAll, size: int
) -> Iterator[Batch]:
    order = acting.Order(what.act, _ANY_REASON, before=what.before)
    how: dict[str, Any] = {"size": size, "dry_run": True}
    place: str | None = None
    while True:
        page = work.act_on_all(
            engine, desk, listing, order, what.wanted, after=place, **how
        )
        if page.away is not None:
            raise page.away
        yield page
        place = page.next
        if place is None:
            return


def _election(engine: Engine, election: str, what: CloseEarly | Settle) -> Trial:
    with engine.connect() as connection:
        pending = finishing.under_way(connection, election)
    if isinstance(what, CloseEarly):
        said = (
            "Claims end at once, before the announced time: who has no token then gets "
            "none. Ballots are taken for the grace time. No vote that was accepted or "
            f"is under way is lost: the closing waits for all of them, now {pending}."
        )
        return Trial(said, votes=pending)
    said = (
        f"{pending} votes were promised an answer and have none yet. Those that no "
        "workflow holds any more will be as if never sent: their tokens stay unused, "
        "and the same bytes can be sent again while the election takes votes. The "
        "others go on."
    )
    return Trial(said, votes=pending)
