"""That votes and tokens came in the time that the authority signed, as far as one sees.

A vote is in time by its arrival, which is published nowhere: an event of a voter has
the hour in which it was recorded, perhaps long after, and a history the hour in which
its workflow began, soon after the arrival. So what is named is what cannot have been in
time. A vote that came less than an hour late is named only where an hour began between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from votepyramid.auditors.case import Case, Discrepancy
from votepyramid.auditors.trees import STEPS
from votepyramid.protocol.manifest import parse_time

CHECK = "voting time"
HOUR = timedelta(hours=1)
# From an arrival until its workflow begins, and as much as two clocks may differ.
SLACK = timedelta(minutes=5)


class Window(NamedTuple):
    """From when on votes and claims were taken, until when claims, until when votes."""

    begins: datetime
    claims_end: datetime
    votes_end: datetime


def check_times(case: Case) -> None:
    """Nothing was taken before the election was opened, or after it was over."""
    _check_steps(case)
    window = window_of(case)
    for kind, hours in case.hours.items():
        _check_hours(case, kind, hours, window)
    _check_began("vote", case.cast, window.votes_end, window, _among_receipts(case))
    _check_began(
        "token", case.claimed, window.claims_end, window, case.issued.__contains__
    )
    there = len(case.receipts) + len(case.issued)
    # Without histories nobody sees when they came.
    unseen = bool(there) and not (case.cast or case.claimed)
    found = "votes and tokens came in the signed time, by the hour"
    if unseen:
        found = "of no vote or token is it known when it came: there are no histories"
    case.held(CHECK, there, found, unchecked=unseen)


def window_of(case: Case) -> Window:
    """By the manifest; opened late or closed early, by the events of that."""
    manifest = case.manifest
    opens, closes = (
        parse_time(manifest.get("opens")),
        parse_time(manifest.get("closes")),
    )
    grace = manifest.get("grace_seconds", 0)
    if opens is None or closes is None or type(grace) is not int:
        raise Discrepancy("manifest", "does not say when votes are taken")
    begins = max(opens, case.steps.get("election_opened", opens))
    ends = min(closes, case.steps.get("election_closed", closes))
    try:
        return Window(begins, ends, ends + timedelta(seconds=grace))
    except OverflowError:
        raise Discrepancy("manifest", "votes are taken for ever") from None


def _check_steps(case: Case) -> None:
    """Each was done once: who sets an election back does one of them again."""
    for kind in STEPS:
        if (number := case.events.get(kind, 0)) > 1:
            raise Discrepancy(CHECK, f"there are {number} events {kind}: it was undone")
    if case.finished is not None and "election_closed" not in case.steps:
        raise Discrepancy(CHECK, "the election is finished, and was never closed")


def _check_hours(case: Case, kind: str, hours: set[bytes], window: Window) -> None:
    """Nothing is recorded before the opening, nor once the end was signed. In between
    it may be, long after it came.
    """
    finished = case.steps.get("election_finished")
    for text in sorted(hours):
        hour = datetime.fromisoformat(text.decode())
        if hour + HOUR + SLACK <= window.begins:
            when = f"before it was opened at {window.begins:%Y-%m-%dT%H:%M:%SZ}"
        elif finished is not None and hour >= finished + SLACK:
            when = f"after it was finished at {finished:%Y-%m-%dT%H:%M:%SZ}"
        else:
            continue
        raise Discrepancy(
            CHECK, f"there is {kind} in the hour of {text.decode()}, {when}"
        )


def _check_began(
    what: str,
    began: Mapping[str, datetime],
    ends: datetime,
    window: Window,
    counts: Callable[[str], bool],
) -> None:
    """Of votes or tokens that `counts`, by the first workflow that got them."""
    early = [n for n, at in began.items() if at + HOUR + SLACK <= window.begins]
    late = [n for n, at in began.items() if at >= ends + SLACK]
    for names, when in (
        (early, f"before {window.begins:%Y-%m-%dT%H:%M:%SZ}"),
        (late, f"after {ends:%Y-%m-%dT%H:%M:%SZ}"),
    ):
        if found := sorted(filter(counts, names)):
            raise Discrepancy(
                CHECK,
                f"the {what} of {found[0]} came {when}, out of the time for it: its "
                f"workflow began in the hour of {began[found[0]]:%Y-%m-%dT%H:%M:%SZ} "
                f"({len(found)} in all)",
            )


def _among_receipts(case: Case) -> Callable[[str], bool]:
    return lambda receipt_hash: bytes.fromhex(receipt_hash) in case.receipts
