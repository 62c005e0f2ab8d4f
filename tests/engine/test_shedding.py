"""The bounds at which the gateway sends requests away."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from votepyramid.engine.shedding import (
    LEAST_GROUPS,
    MAX_RETRY_AFTER_S,
    MOST_GROUPS,
    Crowd,
    Shedding,
)
from votepyramid.errors import Code, Refused
from votepyramid.settings import Settings

SETTINGS = Settings()
QUICK_S, SLOW_S = 0.1, 2.5


@pytest.fixture
def shedding() -> Shedding:
    return Shedding("votes", SETTINGS)


def _refusal(
    shedding: Shedding,
    queued: int = 0,
    under_way: Sequence[float] = (),
    draining: bool = False,
    size: int = 2500,
) -> Code | None:
    """`under_way` are the ages of the groups."""
    now = time.monotonic()
    try:
        shedding.check(
            [size] * queued, [now - age for age in under_way], draining=draining
        )
    except Refused as refused:
        assert refused.retry_after is not None
        assert 1 <= refused.retry_after <= 2 * MAX_RETRY_AFTER_S
        return refused.code
    return None


def _answer(shedding: Shedding, groups: int, seconds: float) -> None:
    for _ in range(groups):
        shedding.answered(time.monotonic() - seconds)


def test_all_is_well(shedding: Shedding) -> None:
    assert _refusal(shedding) is None
    assert _refusal(shedding, queued=499, under_way=[2, 2]) is None


def test_a_crowd_has_a_bound_and_room_again() -> None:
    crowd = Crowd(2)
    with crowd.joined("votes"):
        with crowd.joined("claims"):
            with pytest.raises(Refused) as caught, crowd.joined("votes"):
                pytest.fail("a third must not get in")
            assert caught.value.code is Code.OVERLOADED
        with crowd.joined("votes"):
            pass


def test_a_long_wait(shedding: Shedding) -> None:
    _answer(shedding, MOST_GROUPS, SLOW_S)
    # Behind two slow groups, his own would end later than he waits.
    assert _refusal(shedding, under_way=[1, 1]) is Code.OVERLOADED
    assert _refusal(shedding, queued=80, under_way=[1]) is Code.OVERLOADED
    # Side by side with one it would not.
    assert _refusal(shedding, under_way=[1]) is None
    _answer(shedding, MOST_GROUPS, QUICK_S)
    assert _refusal(shedding, queued=119, under_way=[0, 0]) is None


def test_a_long_wait_by_size(shedding: Shedding) -> None:
    _answer(shedding, MOST_GROUPS, 0.5)
    assert _refusal(shedding, queued=60, under_way=[0, 0]) is None
    # So large that a group holds four of them.
    assert _refusal(shedding, queued=60, size=60_000, under_way=[0, 0]) is (
        Code.OVERLOADED
    )


def test_a_burst_after_a_trickle(shedding: Shedding) -> None:
    for _ in range(20):
        shedding.answered(time.monotonic() - QUICK_S)
    # Not "a few in a second, so a hundred would wait for long".
    assert _refusal(shedding, queued=119, under_way=[0]) is None


def test_a_few_or_old_ones_say_nothing(
    shedding: Shedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answer(shedding, LEAST_GROUPS - 1, SLOW_S)
    assert _refusal(shedding, queued=119, under_way=[1, 1]) is None
    _answer(shedding, 1, SLOW_S)
    assert _refusal(shedding, queued=119, under_way=[1, 1]) is Code.OVERLOADED
    monkeypatch.setattr("votepyramid.engine.shedding.RECENT_S", -1)
    assert _refusal(shedding, queued=119, under_way=[1, 1]) is None


@pytest.mark.parametrize("in_flight", [1, 2, 8])
def test_who_finds_a_free_place_is_not_sent_away(in_flight: int) -> None:
    """Or nobody would learn that the engine is quick again."""
    shedding = Shedding("votes", Settings(groups_in_flight=in_flight))
    _answer(shedding, MOST_GROUPS, 600)
    assert _refusal(shedding, under_way=[1] * (in_flight - 1)) is None
    assert _refusal(shedding, under_way=[1] * in_flight) is Code.OVERLOADED


def test_draining_and_stuck_groups(shedding: Shedding) -> None:
    assert _refusal(shedding, draining=True) is Code.UNAVAILABLE
    assert _refusal(shedding, under_way=[4] * 8) is Code.UNAVAILABLE
    assert _refusal(shedding, under_way=[4] * 7 + [1] * 2) is None


def test_groups_that_get_done_are_not_stuck() -> None:
    shedding = Shedding("votes", Settings(groups_in_flight=8, groups_stuck=8))
    assert _refusal(shedding, under_way=[2] * 8) is None


def test_items_refused_alone_count_as_stuck_for_a_while(
    shedding: Shedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10):
        shedding.refused_alone("the same")
    assert _refusal(shedding, under_way=[4] * 6) is None
    shedding.refused_alone("another")
    assert _refusal(shedding, under_way=[4] * 6) is Code.UNAVAILABLE
    monkeypatch.setattr("votepyramid.engine.shedding.REFUSED_ALONE_S", -1)
    shedding.refused_alone("the same")
    shedding.refused_alone("another")
    assert _refusal(shedding, under_way=[4] * 6) is None
