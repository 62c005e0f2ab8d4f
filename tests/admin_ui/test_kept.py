"""Answers that are kept: what is shown while a new one is asked for, or fails."""

from __future__ import annotations

import threading

import structlog

from admin_ui.kept import Keeper
from admin_ui.rendering import why
from tests.support.processes import eventually
from votepyramid.engine.control import TemporalAway, TemporalRefuses
from votepyramid.keys.provider import KeyProviderError


class Part:
    """Something that is asked, and answers when it is let."""

    def __init__(self) -> None:
        self.well = True
        self.asked = 0
        self.quick = threading.Event()
        self.quick.set()

    def ask(self, _key: str) -> int:
        self.asked += 1
        self.quick.wait(10)
        if not self.well:
            raise OSError
        return 7


def test_what_failed_counts_as_failing_until_it_answers() -> None:
    part = Part()
    keeper = Keeper(part.ask, fresh=0.0)
    assert keeper.get().value == 7 and not keeper.get().failed
    part.quick.clear()
    waiting = keeper.get()
    assert waiting.value == 7 and not waiting.failed
    part.well = False
    part.quick.set()
    assert eventually(lambda: keeper.get().failed)
    # Also while it is being asked again, which may take as long as before.
    part.quick.clear()
    assert keeper.get().failed and keeper.get().failed
    assert not keeper.get("another").failed
    part.well = True
    part.quick.set()
    assert eventually(lambda: not keeper.get().failed)
    assert keeper.get().value == 7


def test_what_went_wrong_is_told_and_logged_once() -> None:
    part = Part()
    part.well = False
    keeper = Keeper(part.ask, fresh=0.0)
    with structlog.testing.capture_logs() as logged:
        assert eventually(lambda: isinstance(keeper.get().error, OSError))
        asked = part.asked
        assert eventually(lambda: keeper.get().failed and part.asked > asked + 2)
    (line,) = logged
    assert (line["event"], line["error"]) == ("answer_failed", "OSError")
    assert why(TemporalAway("")) == "Temporal does not answer"
    assert "answers, but not this" in why(TemporalRefuses(""))
    assert "codec_keys_file" in why(KeyProviderError(""))
    assert "answer_failed" in why(OSError())


def test_what_never_answered_is_not_being_asked_for_ever() -> None:
    part = Part()
    part.quick.clear()
    keeper = Keeper(part.ask, fresh=5.0)
    assert keeper.get().asking
    part.well = False
    part.quick.set()
    assert eventually(lambda: keeper.get().failed)
    part.quick.clear()
    assert not keeper.get().asking
    part.quick.set()


def test_what_is_prepared_is_asked_for_once() -> None:
    part = Part()
    part.quick.clear()
    keeper = Keeper(part.ask, fresh=60.0, patience=10.0)
    keeper.prepare()
    keeper.prepare()
    assert eventually(lambda: part.asked == 1)
    part.quick.set()
    assert keeper.get().value == 7
    keeper.prepare()
    assert keeper.get().value == 7 and part.asked == 1


def test_several_are_asked_about_together() -> None:
    """None of these is answered before all of them were asked about."""
    keys = ["a", "b", "c"]
    together = threading.Barrier(len(keys))

    def ask(key: str) -> str:
        together.wait(10)
        return key.upper()

    keeper = Keeper(ask, fresh=60, at_once=len(keys), patience=10)
    assert [one.value for one in keeper.get_all(keys)] == ["A", "B", "C"]
