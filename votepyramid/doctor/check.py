"""A check, what it finds, and how all of them are run: side by side, bounded in time.

A check says `wrong` only of its own subject. One that needs a server which another
check asks for is `unchecked` while that server is away, so that one fault has one name.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

LIMIT_S = 5.0
# A sentence that lists what it found names so many of them.
_NAMED = 6


class State(StrEnum):
    """`skipped`: this installation part is not configured where the check ran."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    UNCHECKED = "unchecked"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """What a check found, in a sentence, and what to do about it; empty when well."""

    state: State
    sentence: str
    todo: str = ""


class Unchecked(Exception):
    """The check could not be made; the message says why, `todo` what would help."""

    def __init__(self, sentence: str, todo: str = "") -> None:
        super().__init__(sentence)
        self.todo = todo


@dataclass(frozen=True)
class Check:
    """`run` answers within a few seconds; it may raise Unchecked."""

    name: str
    subject: str
    run: Callable[[], Finding]


@dataclass(frozen=True)
class Result:
    """One check and its finding."""

    check: Check
    finding: Finding


def ok(sentence: str) -> Finding:
    """All is well, and what was looked at."""
    return Finding(State.OK, sentence)


def warning(sentence: str, todo: str) -> Finding:
    """Nothing is broken yet, or it is a person's turn."""
    return Finding(State.WARNING, sentence, todo)


def wrong(sentence: str, todo: str) -> Finding:
    """The installation is not as it must be."""
    return Finding(State.WRONG, sentence, todo)


def skipped(sentence: str) -> Finding:
    """Not configured here, which may be right."""
    return Finding(State.SKIPPED, sentence)


def listed(names: Iterable[str]) -> str:
    """The first few of the names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return ", ".join(every[:_NAMED]) + more


def run_all(
    checks: Sequence[Check],
    waiting: Callable[[list[str]], None] = lambda _: None,
    limit: float = LIMIT_S,
) -> list[Result]:
    """Every check in its own thread; one that takes longer than `limit` is wrong.

    `waiting` is told the names that have not answered, whenever one has. A thread that
    hangs in a library is left behind: it must not keep the others' findings.
    """
    answers: queue.SimpleQueue[tuple[int, Finding]] = queue.SimpleQueue()
    for number, check in enumerate(checks):
        threading.Thread(
            target=_answer, args=(number, check, answers), daemon=True
        ).start()
    found: dict[int, Finding] = {}
    deadline = time.monotonic() + limit
    while len(found) < len(checks):
        waiting([c.name for n, c in enumerate(checks) if n not in found])
        try:
            number, finding = answers.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            break
        found[number] = finding
    late = wrong(
        f"there is no answer within {limit:g} s",
        "Look whether the server that is asked hangs, or this machine is overloaded.",
    )
    return [Result(check, found.get(n, late)) for n, check in enumerate(checks)]


def _answer(
    number: int, check: Check, answers: queue.SimpleQueue[tuple[int, Finding]]
) -> None:
    try:
        finding = check.run()
    except Unchecked as cause:
        finding = Finding(State.UNCHECKED, str(cause), cause.todo)
    except Exception as error:  # noqa: BLE001 - one check must not end the others
        finding = Finding(
            State.UNCHECKED,
            f"the check itself failed ({type(error).__name__})",
            "Report it: this is a defect of votepyramid doctor.",
        )
    answers.put((number, finding))


def exit_status(results: Iterable[Result]) -> int:
    """0 well, 1 something is wrong, 2 nothing wrong found but not all was checked."""
    states = {result.finding.state for result in results}
    if State.WRONG in states:
        return 1
    return 2 if State.UNCHECKED in states else 0
