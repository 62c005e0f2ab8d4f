"""How everything stands, in one picture: what the page "Now" shows.

Postgres is asked at once; Temporal's answers are kept for a moment and may be old or
missing, so that the page is there also when Temporal hangs. The last hour, of which
little changes, is kept for a moment as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from admin_ui.kept import Kept
from admin_ui.lists import Overall
from votepyramid.audit import asked_exports
from votepyramid.elections import ending, overview
from votepyramid.elections.overview import Standing
from votepyramid.engine.control import TemporalAway, TemporalRefuses
from votepyramid.engine.listing import Counts, Listed, Page, State
from votepyramid.logs import queue
from votepyramid.logs.queue import Behind
from votepyramid.logs.store import RECEIPTS
from votepyramid.orders import service as orders
from votepyramid.vitals import service as vitals
from votepyramid.vitals.service import Flow, Moment, Process

# A voter waits no longer than this for an answer; then it is a 202.
SLOW_S = 1.5
# A log is late when its oldest entry has waited for so many of its slots, and a bit.
LATE_SLOTS, LATE_S = 3, 10.0
DOORS = {"claim": "Claims", "cast": "Casts"}
LINES = {"claim": "claims", "cast": "votes"}


@dataclass(frozen=True)
class Sign:
    """Something that is not well: what, in a sentence, and where to go on.

    `level` is warning or wrong; `route` a page of ours, `entry` a heading of the
    runbook, as an address has it.
    """

    level: str
    sentence: str
    route: str | None = None
    entry: str | None = None


@dataclass(frozen=True)
class Door:
    """One door of one election, over the last minute."""

    name: str
    flow: Flow | None


@dataclass(frozen=True)
class Row:
    """One election: what its doors do, and its log of receipts.

    `waiting` requests have no answer yet; `stuck` of its workflows need a person.
    `checkpoint` came out so many seconds ago, as far as a sequencer that runs knows.
    """

    standing: Standing
    doors: list[Door]
    waiting: int
    stuck: int
    log: Behind | None
    checkpoint: float | None


@dataclass(frozen=True)
class Picture:
    """Everything. `waiting` items are in the web processes' queues for `wait` seconds
    at most; `workers` are those that report, by what they take; `keys` is whether the
    key provider answers all who ask, None where nobody does; `work` is what Temporal
    counts and lists. When not `all_stuck`, there are more that need a person than
    `rows` tell."""

    clock: datetime | None
    signs: list[Sign]
    rows: list[Row]
    processes: list[Process]
    waiting: int
    wait: float
    workers: dict[str, int]
    keys: bool | None
    work: Kept[Overall]
    all_stuck: bool
    history: list[Moment]


def paint(
    connection: Connection,
    work: Kept[Overall],
    history: Kept[list[Moment]],
    log_seconds: float,
) -> Picture:
    """The picture of now."""
    standings = overview.elections(connection)
    flows = vitals.flows(connection)
    alive = vitals.processes(connection)
    behind = queue.behind(connection)
    lines = list(_lines(alive))
    stuck = work.value.stuck if work.value else Page((), None)
    signs = [
        *_of_processes(alive),
        *_of_untaken(connection, alive),
        *_of_keys(alive),
        *_of_lines(lines, flows),
        *_of_stopped_logs(alive),
        *_of_logs(behind, log_seconds),
        *_of_work(work),
        *_of_orders(orders.waiting(connection)),
    ]
    return Picture(
        clock=standings[0].clock if standings else None,
        signs=sorted(signs, key=lambda sign: sign.level != "wrong"),
        rows=_rows(standings, flows, behind, alive, stuck.workflows),
        processes=alive,
        waiting=sum(line["waiting"] for line in lines),
        wait=max((line["wait"] for line in lines), default=0.0),
        workers=_workers(alive),
        keys=_keys(alive),
        work=work,
        all_stuck=stuck.next is None,
        history=history.value or [],
    )


def _rows(
    standings: Iterable[Standing],
    flows: dict[tuple[str, str], Flow],
    behind: Iterable[Behind],
    processes: list[Process],
    stuck: Iterable[Listed],
) -> list[Row]:
    logs = {one.log.election: one for one in behind if one.log.kind == RECEIPTS}
    checkpoints, waiting = _checkpoints(processes), _waiting(_lines(processes))
    needing = Counter(one.election for one in stuck)
    return [
        Row(
            one,
            [Door(name, flows.get((door, one.id))) for door, name in DOORS.items()],
            waiting[one.id],
            needing[one.id],
            logs.get(one.id),
            checkpoints.get(one.id),
        )
        for one in standings
    ]


def _waiting(lines: Iterable[dict[str, Any]]) -> Counter[str]:
    """How many requests wait, by election."""
    found: Counter[str] = Counter()
    for line in lines:
        # A process of before the last release names none.
        found.update(line.get("elections", {}))
    return found


def _checkpoints(processes: Iterable[Process]) -> dict[str, float]:
    """How long ago each election's log of receipts had its newest one, in seconds."""
    ages: dict[str, float] = {}
    for one in processes:
        for each in one.numbers.get("published", []) if one.alive else []:
            if each["kind"] == RECEIPTS:
                age = one.age + each["ago"]
                ages[each["election"]] = min(age, ages.get(each["election"], age))
    return ages


def _lines(processes: Iterable[Process]) -> Iterator[dict[str, Any]]:
    for one in processes:
        if one.alive:
            yield from one.numbers.get("lines", {}).values()


def _workers(processes: Iterable[Process]) -> dict[str, int]:
    """How many take what, claims and votes."""
    taking = _roles(processes)
    return {name: taking.count(role) for role, name in LINES.items()}


def _roles(processes: Iterable[Process]) -> list[str]:
    """What the workers that report take, as often as they do."""
    return [
        role
        for one in processes
        if one.alive and one.kind == "worker"
        for role in one.numbers.get("roles", ())
    ]


def _keys(processes: Iterable[Process]) -> bool | None:
    said = [
        one.numbers["keys"] for one in processes if one.alive and "keys" in one.numbers
    ]
    return all(one.get("failing") is None for one in said) if said else None


def _of_processes(processes: list[Process]) -> Iterator[Sign]:
    alive = [one for one in processes if one.alive]
    kinds = {one.kind for one in alive}
    if "web" not in kinds:
        yield Sign(
            "wrong",
            "No web process reports: nobody can vote.",
            entry="votepyramidtargetdown",
        )
    if "worker" not in kinds:
        yield Sign(
            "wrong",
            "No worker reports: votes wait, and are answered with 202.",
            entry="votepyramidnoworker",
        )
    elif idle := [name for name, many in _workers(alive).items() if not many]:
        yield Sign(
            "wrong",
            f"No worker takes {' or '.join(idle)}: start one with that role.",
            entry="votepyramidnoworker",
        )
    if not any(one.numbers.get("turn") for one in alive if one.kind == "sequencer"):
        yield Sign(
            "wrong",
            "No sequencer runs: votes count and have receipts; the logs stand still.",
            entry="votepyramidnosequencer",
        )
    for one in vitals.missing(processes):
        if one.kind in kinds:
            yield Sign(
                "warning",
                f"The {one.kind} {one.pid} on {one.host} has said nothing for "
                f"{one.age:.0f} s: it was stopped, or hangs, or cannot reach Postgres.",
                entry="votepyramidtargetdown",
            )


def _of_untaken(connection: Connection, processes: list[Process]) -> Iterator[Sign]:
    """Work of which there is little, whose workers run where they are needed."""
    taken = {*_roles(processes)}
    if "closing" not in taken and ending.awaited(connection):
        yield Sign(
            "wrong",
            "An election is to be closed, and no worker takes closings: start one with "
            "the role closing.",
            entry="votepyramidworknottaken",
        )
    if "exporting" not in taken and asked_exports.awaited(connection):
        yield Sign(
            "warning",
            "Exports are asked for, and no worker takes them: start one with the role "
            "exporting.",
            entry="votepyramidworknottaken",
        )


def _of_keys(processes: list[Process]) -> Iterator[Sign]:
    failing = []
    for one in processes:
        keys = one.numbers.get("keys", {})
        if one.alive and keys.get("failing") is not None:
            failing.append((keys["left"], one))
    if failing:
        left = [seconds for seconds, _ in failing if seconds is not None]
        names = ", ".join(f"{one.kind} {one.pid} on {one.host}" for _, one in failing)
        until = f" First keys are forgotten in {min(left):.0f} s." if left else ""
        yield Sign(
            "wrong",
            f"The key provider does not answer {names}. Votes go on as long as keys "
            f"are held.{until}",
            entry="votepyramidkmsfails",
        )


def _of_lines(
    lines: list[dict[str, Any]], flows: dict[tuple[str, str], Flow]
) -> Iterator[Sign]:
    if any(line["stuck"] for line in lines):
        yield Sign(
            "wrong",
            "Requests are refused: too many groups of votes do not get done.",
            route="work",
            entry="votepyramidgroupsstuck",
        )
    away = sum(flow.turned_away for flow in flows.values())
    if away:
        yield Sign(
            "warning",
            f"{away:.1f} requests a second are turned away and told when to come back.",
            entry="votepyramidshedding",
        )
    slow = [flow.p95 for flow in flows.values() if flow.p95 and flow.p95 > SLOW_S]
    if slow:
        yield Sign(
            "warning",
            f"One voter in twenty waits for {max(slow):.1f} s or longer.",
            entry="votepyramidcastsslow",
        )


def _of_stopped_logs(processes: list[Process]) -> Iterator[Sign]:
    for one in processes:
        for each in one.numbers.get("stopped", []) if one.alive else []:
            yield Sign(
                "wrong",
                f"The log of {each['kind']} of {each['election']} was set aside: "
                "nothing shows that it is the one that was signed.",
                entry="a-log-was-set-back-forked-or-damaged",
            )


def _of_logs(behind: list[Behind], log_seconds: float) -> Iterator[Sign]:
    late = [
        one
        for one in behind
        if one.waited is not None and one.waited > LATE_SLOTS * log_seconds + LATE_S
    ]
    for one in late:
        yield Sign(
            "warning",
            f"The log of {one.log.kind} of {one.log.election} is late: its oldest "
            f"entry has waited for {one.waited:.0f} s.",
            entry="votepyramidlogbehind",
        )


def _of_work(work: Kept[Overall]) -> Iterator[Sign]:
    if work.error is not None and not isinstance(work.error, TemporalAway):
        yield Sign(
            "wrong",
            "The workflows cannot be counted: this program's log has a line "
            "answer_failed with the reason.",
            entry="votepyramidnotcounted",
        )
    elif isinstance(work.error, TemporalRefuses):
        yield Sign(
            "warning",
            "Temporal answers, but does not count its workflows: votes may go on, and "
            "nobody sees which need a person.",
            entry="votepyramidnotcounted",
        )
    elif work.failed:
        yield Sign(
            "wrong",
            "Temporal does not answer: votes wait.",
            entry="votepyramidtemporalfails",
        )
    if work.value is not None and work.value.counts.needs_attention:
        some = work.value.counts.needs_attention
        yield Sign(
            "warning",
            "A workflow needs a person."
            if some == 1
            else f"{some} workflows need a person.",
            route="work",
            entry="votepyramidneedsattention",
        )


def _of_orders(waiting: int) -> Iterator[Sign]:
    if waiting:
        yield Sign(
            "warning",
            "An order waits for a second administrator."
            if waiting == 1
            else f"{waiting} orders wait for a second administrator.",
            route="orders",
        )


def running(counts: Counts) -> int:
    """Workflows that have not ended."""
    return counts.states.get(State.RUNNING, 0) + counts.states.get(State.PAUSED, 0)
