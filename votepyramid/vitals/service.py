"""What the reports say together: which processes live, and how fast votes go."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Row, func, literal_column, select

from votepyramid.vitals.models import Vitals
from votepyramid.vitals.reporting import PERIOD_S
from votepyramid.vitals.tally import BOUNDS, TAKEN, quantile

# A process that said nothing for so long is gone, or cannot reach the database.
SILENT_S = 3 * PERIOD_S + 1
# Gone ones are shown so long, so that one sees what is missing.
SHOWN = timedelta(minutes=10)
WINDOW = timedelta(minutes=1)


@dataclass(frozen=True)
class Process:
    """A process by its newest report. Times in seconds: `age` of the report, `up` since
    it began. `numbers` are its own."""

    process: uuid.UUID
    kind: str
    host: str
    pid: int
    age: float
    up: float
    numbers: dict[str, Any] = field(repr=False)

    @property
    def left(self) -> bool:
        """Whether it ended in its own time, and said so."""
        return bool(self.numbers.get("left"))

    @property
    def alive(self) -> bool:
        return self.age <= SILENT_S and not self.left


@dataclass(frozen=True)
class Flow:
    """What went through one door of one election, per second over `seconds`.

    `taken` were answered 200 or 202, `turned_away` 429 or 503; `p50` and `p95` are
    seconds, of the taken ones, None without any.
    """

    seconds: float
    taken: float
    turned_away: float
    p50: float | None
    p95: float | None


@dataclass(frozen=True)
class Moment:
    """Flows by door and election in the time until `at`."""

    at: datetime
    flows: dict[tuple[str, str], Flow]


def processes(connection: Connection) -> list[Process]:
    """Those that have reported lately, by kind, host and process id."""
    clock = func.clock_timestamp()
    rows = connection.execute(
        select(
            Vitals.process,
            Vitals.kind,
            Vitals.host,
            Vitals.pid,
            func.extract("epoch", clock - Vitals.at),
            func.extract("epoch", clock - Vitals.started_at),
            Vitals.numbers,
        )
        .distinct(Vitals.process)
        .where(Vitals.at > func.now() - SHOWN)
        .order_by(Vitals.process, Vitals.at.desc())
    )
    found = [
        Process(process, kind, host, pid, float(age), float(up), numbers)
        for process, kind, host, pid, age, up, numbers in rows
    ]
    return sorted(found, key=lambda one: (one.kind, one.host, one.pid))


def missing(processes: Iterable[Process]) -> list[Process]:
    """Those that fell silent without a word, and that none has come for.

    Who comes for one is of the same kind on the same host, and began after its last
    report; each for one.
    """
    known = list(processes)
    came = sorted((one for one in known if one.alive), key=lambda one: one.up)
    found = []
    for gone in known:
        if gone.alive or gone.left:
            continue
        for one in came:
            same = (one.kind, one.host) == (gone.kind, gone.host)
            if same and one.up < gone.age:
                came.remove(one)
                break
        else:
            found.append(gone)
    return found


def history(
    connection: Connection, *, minutes: int = 60, every: timedelta = WINDOW
) -> list[Moment]:
    """Flows by intervals of `every`, the oldest first; none before there were reports.

    Of each process the last report in each interval counts.
    """
    origin: Any = literal_column("'2000-01-01'::timestamptz")
    slot = func.date_bin(every, Vitals.at, origin)
    rows = connection.execute(
        select(Vitals.process, slot.label("slot"), Vitals.at, Vitals.numbers)
        .distinct(Vitals.process, literal_column("slot"))
        .where(Vitals.at > func.now() - timedelta(minutes=minutes) - every)
        .order_by(Vitals.process, literal_column("slot"), Vitals.at.desc())
    )
    by_process: dict[uuid.UUID, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        by_process[row.process].append(row)
    slots: dict[datetime, list[tuple[float, Any, Any]]] = defaultdict(list)
    for reports in by_process.values():
        for before, after in pairwise(reports):
            seconds = (after.at - before.at).total_seconds()
            slots[after.slot].append((seconds, before.numbers, after.numbers))
    return [Moment(slot + every, _flows(slots[slot])) for slot in sorted(slots)]


def flows(connection: Connection) -> dict[tuple[str, str], Flow]:
    """By door and election, over the last minute or what there is of it."""
    rows = connection.execute(
        select(Vitals.process, Vitals.at, Vitals.numbers)
        .where(Vitals.at > func.now() - WINDOW)
        .order_by(Vitals.process, Vitals.at)
    ).all()
    by_process: dict[uuid.UUID, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        by_process[row.process].append(row)
    return _flows(
        ((last.at - first.at).total_seconds(), first.numbers, last.numbers)
        for first, *_, last in (r for r in by_process.values() if len(r) > 1)
    )


def _flows(
    changes: Iterable[tuple[float, Any, Any]],
) -> dict[tuple[str, str], Flow]:
    """Of several processes: seconds, numbers before, numbers after."""
    taken: dict[tuple[str, str], float] = defaultdict(float)
    away: dict[tuple[str, str], float] = defaultdict(float)
    classes: dict[tuple[str, str], list[int]] = {}
    longest = 0.0
    for seconds, before, after in changes:
        if seconds <= 0:
            continue
        longest = max(longest, seconds)
        for key, now in _doors(after):
            then = before.get("doors", {}).get(key[0], {}).get(key[1], {})
            for status, count in now["status"].items():
                more = (count - then.get("status", {}).get(status, 0)) / seconds
                if int(status) in TAKEN:
                    taken[key] += more
                elif int(status) in (429, 503):
                    away[key] += more
            known = classes.setdefault(key, [0] * (len(BOUNDS) + 1))
            _add(known, now["class"], then.get("class", []))
    return {
        key: Flow(
            longest,
            taken[key],
            away[key],
            quantile(known, 0.5),
            quantile(known, 0.95),
        )
        for key, known in classes.items()
    }


def _doors(numbers: Any) -> Iterable[tuple[tuple[str, str], Any]]:
    for door, elections in numbers.get("doors", {}).items():
        for election, counted in elections.items():
            yield (door, election), counted


def _add(known: list[int], now: Sequence[int], then: Sequence[int]) -> None:
    for index, count in enumerate(now):
        known[index] += count - (then[index] if index < len(then) else 0)
