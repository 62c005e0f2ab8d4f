"""Lists page by page and counts, and what is held of them."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.support.elections import MadeElection
from tests.support.faults import Wire
from tests.support.processes import eventually
from tests.support.voting import Door
from votepyramid.engine.control import Desk, TemporalAway, WorkRefused
from votepyramid.engine.listing import Filter, Listing, State
from votepyramid.settings import Settings


def _anew(settings: Settings) -> Listing:
    return Listing(Desk(settings))


def test_pages_follow_each_other_without_gap_or_double(
    door: Door, election: MadeElection, settings: Settings
) -> None:
    for number in range(3):
        assert door.cast(door.ballot(f"v{number}")).status_code == 200
    wanted = Filter(election=election.id)
    done = {State.COMPLETED: 6}
    assert eventually(lambda: _anew(settings).counts(wanted).states == done)
    lists = _anew(settings)
    whole = [one.workflow_id for one in lists.page(wanted).workflows]
    assert len(set(whole)) == 6
    found: list[str] = []
    after = None
    while True:
        page = lists.page(wanted, after, 4)
        found += [one.workflow_id for one in page.workflows]
        after = page.next
        if after is None:
            break
    assert found == whole
    second = lists.page(wanted, None, 4).next
    for place, question in (
        (second, replace(wanted, kind="submit_votes")),
        ("AAAA", wanted),
        ("no base64!", wanted),
    ):
        with pytest.raises(WorkRefused, match="no such place"):
            lists.page(question, place)
    votes = lists.page(replace(wanted, kind="submit_votes")).workflows
    assert {one.kind for one in votes} == {"submit_votes"} and len(votes) == 3
    assert lists.page(replace(wanted, older_than=3600)).workflows == ()
    assert len(lists.page(replace(wanted, younger_than=3600)).workflows) == 6
    assert lists.page(Filter(election="another")).workflows == ()
    completed = Filter(frozenset({State.COMPLETED}), election=election.id)
    assert lists.counts(completed).needs_attention == 0
    for wrong in (0, 201):
        with pytest.raises(WorkRefused):
            lists.page(wanted, size=wrong)
    with pytest.raises(WorkRefused):
        lists.page(replace(wanted, kind="another"))


def test_an_answer_is_given_again_with_its_age(settings: Settings) -> None:
    wire = Wire(settings.temporal_address)
    far = replace(settings, temporal_address=wire.address)
    lists = Listing(Desk(far, patience=1.0))
    wanted = Filter(election="nobody")
    first = lists.counts(wanted)
    assert (first.states, first.needs_attention) == ({}, 0)
    wire.freeze()
    # Temporal is not asked, and hence not missed.
    time.sleep(0.2)
    again = lists.counts(wanted)
    assert again.states == first.states and again.age_s >= 0.2
    with pytest.raises(TemporalAway, match="does not answer"):
        lists.page(wanted)
    lists.forget()
    with pytest.raises(TemporalAway):
        lists.counts(wanted)
    wire.cut()
