"""Every call ends in time, and a provider that hangs costs no more than its lanes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.processes import eventually
from votepyramid.keys.bounded import Bounded
from votepyramid.keys.provider import KeyProviderError, WrongContext


class Stub:
    """A provider that waits where it is told to."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.calls = 0
        self.answers = 0
        # How long the next calls wait for the gate at most.
        self.pauses: list[float] = []

    def wrap(self, context: bytes, key: bytes) -> bytes:
        self.calls += 1
        self.gate.wait(self.pauses.pop(0) if self.pauses else 20)
        self.answers += 1
        return context + key

    def unwrap(self, context: bytes, wrapped: bytes) -> bytes:
        raise WrongContext("no")


def test_answers_and_refusals_come_through() -> None:
    stub = Stub()
    stub.gate.set()
    bounded = Bounded(stub, "the stub", 5)
    assert bounded.wrap(b"a", b"b") == b"ab"
    with pytest.raises(WrongContext):
        bounded.unwrap(b"a", b"b")


def test_a_provider_that_hangs_is_given_up_in_time_and_taken_back() -> None:
    stub = Stub()
    bounded = Bounded(stub, "the stub", 1, lanes=2)
    before = threading.active_count()
    for expected in (1.0, 1.0, 0.0, 0.0, 0.0):
        began = time.monotonic()
        with pytest.raises(KeyProviderError, match="stub did not answer in 1 s"):
            bounded.wrap(b"a", b"b")
        assert expected <= time.monotonic() - began < expected + 0.7
    # The calls that came after both lanes were lost did not reach it.
    assert stub.calls == 2
    assert threading.active_count() <= before + 2
    stub.gate.set()
    assert eventually(lambda: threading.active_count() <= before, 5)
    assert bounded.wrap(b"a", b"b") == b"ab"


def test_who_waits_for_a_lane_waits_no_longer_in_all() -> None:
    stub = Stub()
    bounded = Bounded(stub, "the stub", 1)
    stub.pauses = [0.8, 5.0]
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(bounded.wrap, b"a", b"b")
        assert eventually(lambda: stub.calls == 1, 5)
        began = time.monotonic()
        with pytest.raises(KeyProviderError):
            bounded.wrap(b"a", b"b")
        assert 0.9 < time.monotonic() - began < 1.6
        assert first.result() == b"ab"
    stub.gate.set()


def test_after_a_lost_call_came_back_callers_wait_for_each_other_again() -> None:
    stub = Stub()
    bounded = Bounded(stub, "the stub", 1)
    with pytest.raises(KeyProviderError):
        bounded.wrap(b"a", b"b")
    stub.gate.set()
    assert eventually(lambda: stub.answers == 1, 5)
    stub.pauses = [0.5] * 2
    stub.gate.clear()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(bounded.wrap, b"a", b"b")
        assert eventually(lambda: stub.calls == 2, 5)
        stub.pauses = [0.0]
        assert bounded.wrap(b"a", b"b") == b"ab"
        assert first.result() == b"ab"
