"""Lists page by page and counts, and what is held of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.elections import MadeElection
from tests.support.faults import NO_LISTS, Wire
from tests.support.processes import eventually
from tests.support.voting import Door
from votepyramid.engine.control import (
    Desk,
    TemporalAway,
    TemporalRefuses,
    WorkRefused,
    alive,
)
from votepyramid.engine.listing import (
    ASKED_AT_ONCE,
    ASKED_PER_S,
    Filter,
    Listing,
    State,
)
from votepyramid.settings import Settings
from votepyramid.stack.devserver import DevServer


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


def test_few_questions_are_asked_in_a_second(settings: Settings) -> None:
    """However often somebody asks for another list: too often, Temporal refuses all."""
    lists = _anew(settings)
    filters = [Filter(election=f"nobody-{number}") for number in range(4)]
    began = time.monotonic()
    for wanted in filters:
        lists.page(wanted)
        lists.counts(wanted)
    # A list is one question and a count two; the first ones are asked at once.
    asked = 3 * len(filters)
    assert time.monotonic() - began >= (asked - ASKED_AT_ONCE) / ASKED_PER_S
    began = time.monotonic()
    for _ in range(3 * ASKED_PER_S):
        lists.page(filters[-1])
    assert time.monotonic() - began < 1


@pytest.fixture
def crowded(temporal_cli: Path, tmp_path: Path) -> Iterator[DevServer]:
    """It is asked for more lists than it gives, and does all else."""
    server = DevServer(temporal_cli, tmp_path, extra=NO_LISTS)
    server.start()
    yield server
    server.stop()


def test_a_temporal_that_does_not_list_is_not_away(
    settings: Settings, crowded: DevServer
) -> None:
    there = replace(settings, temporal_address=crowded.address)
    for patience, says in ((2.0, "does not list"), (60.0, "RESOURCE_EXHAUSTED")):
        lists = Listing(Desk(there, patience))
        with pytest.raises(TemporalRefuses, match=says):
            lists.counts(Filter())
    # Lists alone are what it refuses.
    assert alive(there, ["nobody"]).running == set()
    crowded.stop()
    with pytest.raises(TemporalAway, match="does not answer"):
        lists.counts(Filter())
