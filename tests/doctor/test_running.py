"""How checks are run: side by side, each with an end."""

from __future__ import annotations

import threading

from votepyramid.doctor.check import (
    Check,
    Finding,
    State,
    Unchecked,
    exit_status,
    ok,
    run_all,
    warning,
    wrong,
)


def check(name: str, finding: Finding | Exception) -> Check:
    def run() -> Finding:
        if isinstance(finding, Exception):
            raise finding
        return finding

    return Check(name, "subject", run)


def test_one_that_hangs_is_told_and_keeps_nobody() -> None:
    forever = threading.Event()

    def hang() -> Finding:
        forever.wait()
        return ok("never")

    told: list[list[str]] = []
    hanging = Check("hangs", "subject", hang)
    results = run_all([hanging, check("well", ok("yes"))], told.append, limit=0.3)
    assert [result.finding.state for result in results] == ["wrong", "ok"]
    assert "no answer within 0.3 s" in results[0].finding.sentence
    assert told[0] == ["hangs", "well"]
    assert told[-1] == ["hangs"]
    forever.set()


def test_a_check_that_fails_ends_no_other() -> None:
    results = run_all([check("a", ValueError("secret")), check("b", ok("yes"))])
    assert results[0].finding.state is State.UNCHECKED
    assert "ValueError" in results[0].finding.sentence
    assert "secret" not in results[0].finding.sentence
    assert results[1].finding.state is State.OK


def test_the_exit_status() -> None:
    def status(*findings: Finding | Exception) -> int:
        return exit_status(run_all([check("x", one) for one in findings]))

    assert status(ok("a"), warning("b", "c")) == 0
    assert status(ok("a"), Unchecked("b")) == 2
    assert status(Unchecked("b"), wrong("a", "c")) == 1
