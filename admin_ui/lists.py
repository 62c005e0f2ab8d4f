"""Which workflows a page asks for, in its address, and what Temporal lists for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from admin_ui.forms import FormInvalid
from votepyramid.engine.control import WorkRefused
from votepyramid.engine.listing import (
    KINDS,
    LARGEST_PAGE,
    PAGE,
    STEPS,
    Counts,
    Filter,
    Listing,
    Page,
    State,
)
from votepyramid.protocol.encoding import NotCanonical, check_id

NARROWING = (
    "state",
    "kind",
    "election",
    "needs_attention",
    "step",
    "older_than",
    "younger_than",
)
FIELDS = (*NARROWING, "after")
# What can be chosen as an age, in seconds.
AGES = {"60": "1 min", "600": "10 min", "3600": "1 h", "86400": "1 d"}
_CHOICES: dict[str, tuple[str, ...]] = {
    "state": tuple(State),
    "kind": KINDS,
    "step": STEPS,
    "needs_attention": ("1",),
    "older_than": tuple(AGES),
    "younger_than": tuple(AGES),
}


@dataclass(frozen=True)
class Lists:
    """A page of what was asked for, and how many there are of it; `stuck` are those
    that need a person, whatever was asked for. `refused` says why there is no such
    page; then all are None."""

    page: Page | None = None
    stuck: Page | None = None
    counts: Counts | None = None
    refused: str | None = None


@dataclass(frozen=True)
class Overall:
    """How many workflows there are in all, and those that need a person: the first
    page of them, empty where there are none."""

    counts: Counts
    stuck: Page


def key(fields: Mapping[str, str | None]) -> str:
    """What is asked for, in one way of writing it. Raises FormInvalid."""
    for name, value in fields.items():
        if value and value not in _CHOICES.get(name, (value,)):
            raise FormInvalid(f"{name} has no such choice")
    try:
        check_id(fields["election"] or "any")
    except NotCanonical:
        raise FormInvalid("No election has such an id") from None
    return urlencode([(name, fields[name]) for name in FIELDS if fields.get(name)])


def read(asked: str) -> tuple[Filter, str | None]:
    """What a key asks for: which workflows, and from where on."""
    fields = dict(parse_qsl(asked))
    state, older = fields.get("state"), fields.get("older_than")
    younger = fields.get("younger_than")
    wanted = Filter(
        states=frozenset({State(state)} if state else ()),
        kind=fields.get("kind"),
        election=fields.get("election"),
        needs_attention="needs_attention" in fields,
        step=fields.get("step"),
        older_than=float(older) if older else None,
        younger_than=float(younger) if younger else None,
    )
    return wanted, fields.get("after")


def narrowed_to(fields: Mapping[str, str | None]) -> Filter:
    """Which workflows a page's fields ask for. Raises FormInvalid."""
    return read(key({name: fields[name] for name in NARROWING}))[0]


def find(listing: Listing, asked: str) -> Lists:
    """Ask Temporal. Raises TemporalAway."""
    wanted, after = read(asked)
    stuck = _stuck(listing)
    if stuck.next is not None or len(stuck.workflows) > PAGE:
        stuck = listing.page(Filter(needs_attention=True))
    try:
        page = listing.page(wanted, after)
    except WorkRefused as error:
        return Lists(refused=str(error))
    return Lists(page, stuck, listing.counts(wanted))


def overall(listing: Listing) -> Overall:
    """Ask Temporal, for no list where none needs a person. Raises TemporalAway."""
    counts = listing.counts(Filter())
    return Overall(
        counts, _stuck(listing) if counts.needs_attention else Page((), None)
    )


def _stuck(listing: Listing) -> Page:
    """One question for all who ask within a moment: few are asked in a second."""
    return listing.page(Filter(needs_attention=True), size=LARGEST_PAGE)
