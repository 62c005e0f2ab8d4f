"""When the next group goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from votepyramid.engine import pacing
from votepyramid.engine.pacing import Pacing
from votepyramid.settings import Settings

FULL = 4


class Line:
    """A queue by its length, and who waits for a turn."""

    def __init__(self, gather: float = 0.0, answer_timeout: float = 60.0) -> None:
        settings = Settings(
            group_votes=FULL, group_gather=gather, answer_timeout=answer_timeout
        )
        assert settings.groups_in_flight == 2
        self.queued = 0
        self.pacing = Pacing(settings, lambda: self.queued)

    def arrive(self, requests: int = 1) -> None:
        self.queued += requests
        self.pacing.arrived()

    async def start(self) -> int:
        """Start the next group when it may go; how many it took."""
        await self.pacing.turn()
        size = min(self.queued, FULL)
        self.queued -= size
        self.ended = self.pacing.started(size)
        return size

    async def holds_back(self) -> asyncio.Task[int]:
        """The start of the next group, after it had every chance to happen."""
        start = asyncio.create_task(self.start())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not start.done()
        return start


def run(test: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test

    asyncio.run(bounded())


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "PATIENCE_S", 60.0)


def test_the_first_goes_at_once() -> None:
    async def test() -> None:
        line = Line(gather=60.0)
        start = await line.holds_back()
        line.arrive()
        assert await start == 1

    run(test())


def test_a_single_one_that_ended_holds_nobody_back() -> None:
    async def test() -> None:
        line = Line(gather=60.0)
        line.arrive()
        await line.start()
        line.ended()
        line.arrive()
        assert await line.start() == 1

    run(test())


def test_the_next_fills_until_the_one_under_way_has_ended() -> None:
    async def test() -> None:
        line = Line()
        line.arrive()
        await line.start()
        line.arrive(2)
        start = await line.holds_back()
        line.arrive()
        line.ended()
        assert await start == 3

    run(test())


def test_a_full_one_waits_for_nobody() -> None:
    async def test() -> None:
        line = Line()
        line.arrive()
        await line.start()
        line.arrive(FULL - 1)
        start = await line.holds_back()
        line.arrive()
        assert await start == FULL

    run(test())


def test_no_more_than_allowed_are_under_way() -> None:
    async def test() -> None:
        line = Line()
        line.arrive(3 * FULL)
        assert [await line.start(), await line.start()] == [FULL, FULL]
        start = await line.holds_back()
        line.ended()
        assert await start == FULL

    run(test())


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "PATIENCE_S", 0.05)

    async def test() -> None:
        line = Line()
        line.arrive()
        await line.start()
        began = time.monotonic()
        line.arrive()
        assert await line.start() == 1
        assert time.monotonic() - began >= 0.05

    run(test())


def test_half_as_many_again_are_waited_for() -> None:
    async def test() -> None:
        line = Line(gather=60.0)
        line.arrive(4)
        await line.start()
        line.ended()
        line.arrive()
        start = await line.holds_back()
        line.arrive()
        assert await start == 2

    run(test())


def test_those_who_came_meanwhile_are_company_enough() -> None:
    async def test() -> None:
        line = Line(gather=60.0)
        line.arrive(3)
        await line.start()
        line.arrive(2)
        start = await line.holds_back()
        line.ended()
        assert await start == 2

    run(test())


def test_who_does_not_come_back_is_waited_for_a_moment_only() -> None:
    async def test() -> None:
        line = Line(gather=0.05)
        line.arrive(3)
        await line.start()
        began = time.monotonic()
        line.ended()
        line.arrive()
        assert await line.start() == 1
        assert time.monotonic() - began >= 0.05

    run(test())


def test_a_stuck_one_does_not_hold_the_others_back() -> None:
    async def test() -> None:
        line = Line(answer_timeout=0.05)
        line.arrive(3 * FULL)
        assert [await line.start(), await line.start()] == [FULL, FULL]
        stuck = line.ended
        await line.holds_back()
        await asyncio.sleep(0.1)
        assert line.queued == 0
        stuck()
        line.arrive()
        assert await line.start() == 1

    run(test())
