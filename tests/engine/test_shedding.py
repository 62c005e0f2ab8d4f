"""The bounds at which the gateway sends requests away."""

from __future__ import annotations

import pytest

from votepyramid.engine.shedding import MAX_RETRY_AFTER_S, Crowd, Shedding
from votepyramid.errors import Code, Refused
from votepyramid.settings import Settings

SETTINGS = Settings(
    groups_stuck=3, answer_timeout=2, group_votes=10, groups_in_flight=1
)


@pytest.fixture
def shedding() -> Shedding:
    return Shedding("votes", SETTINGS)


def _refusal(
    shedding: Shedding, queued: int = 0, running: int = 0, draining: bool = False
) -> Code | None:
    try:
        shedding.check(queued, running, draining=draining)
    except Refused as refused:
        assert refused.retry_after is not None
        assert 1 <= refused.retry_after <= 2 * MAX_RETRY_AFTER_S
        return refused.code
    return None


def test_all_is_well(shedding: Shedding) -> None:
    assert _refusal(shedding) is None
    assert _refusal(shedding, queued=499, running=2) is None


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
    for _ in range(5):
        shedding.answered()
    # One a second: eleven would wait for eleven seconds.
    assert _refusal(shedding, queued=11) is Code.OVERLOADED
    # What the next groups take does not wait, whatever the rate was before.
    assert _refusal(shedding, queued=10) is None
    for _ in range(200):
        shedding.answered()
    assert _refusal(shedding, queued=11) is None


def test_draining_and_stuck_groups(shedding: Shedding) -> None:
    assert _refusal(shedding, draining=True) is Code.UNAVAILABLE
    assert _refusal(shedding, running=3) is Code.UNAVAILABLE


def test_items_refused_alone_count_as_stuck_for_a_while(
    shedding: Shedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10):
        shedding.refused_alone("the same")
    assert _refusal(shedding, running=1) is None
    shedding.refused_alone("another")
    assert _refusal(shedding, running=1) is Code.UNAVAILABLE
    monkeypatch.setattr("votepyramid.engine.shedding.REFUSED_ALONE_S", -1)
    shedding.refused_alone("the same")
    shedding.refused_alone("another")
    assert _refusal(shedding, running=1) is None
