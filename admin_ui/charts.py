"""Charts drawn as SVG, each with its numbers in a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from votepyramid.engine.timeline import Step, Work
from votepyramid.vitals.service import Flow, Moment

WIDTH, HEIGHT = 320, 80


@dataclass(frozen=True)
class Chart:
    """`points` are times and values, a gap where there is none; `line` draws them in a
    box of WIDTH by HEIGHT as an SVG path, `top` is the value at its upper edge."""

    title: str
    unit: str
    points: list[tuple[datetime, float | None]]
    top: float
    line: str

    @property
    def last(self) -> float | None:
        return self.points[-1][1] if self.points else None


def of(history: Sequence[Moment]) -> list[Chart]:
    """Claims and casts a second, and the wait of one voter in twenty, in seconds."""
    return [
        _chart("Claims", "/s", history, lambda moment: _rate(moment, "claim")),
        _chart("Casts", "/s", history, lambda moment: _rate(moment, "cast")),
        _chart("Casts: p95", "s", history, _wait),
    ]


@dataclass(frozen=True)
class Bar:
    """A step in time: where its bar begins and how long it is, of a hundred."""

    step: Step
    x: float
    width: float


def timeline(work: Work, now: datetime) -> list[Bar]:
    """The steps of a workflow from its start to its end, or to now while it runs."""
    first, last = work.started_at, work.closed_at or now
    span = max(0.001, (last - first).total_seconds())

    def at(moment: datetime) -> float:
        return min(100.0, max(0.0, 100 * (moment - first).total_seconds() / span))

    return [
        Bar(step, at(step.began_at), at(step.ended_at or last) - at(step.began_at))
        for step in work.steps
    ]


def _chart(
    title: str,
    unit: str,
    history: Sequence[Moment],
    value: Callable[[Moment], float | None],
) -> Chart:
    points = [(moment.at, value(moment)) for moment in history]
    top = _round_up(max((number for _, number in points if number), default=0.0))
    return Chart(title, unit, points, top, _line(points, top))


def _line(points: Sequence[tuple[datetime, float | None]], top: float) -> str:
    if not points:
        return ""
    first, last = points[0][0], points[-1][0]
    span = max(1.0, (last - first).total_seconds())
    drawn, pen = [], "M"
    for at, number in points:
        if number is None:
            pen = "M"
            continue
        x = WIDTH * (at - first).total_seconds() / span
        y = HEIGHT * (1 - number / top)
        drawn.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    return "".join(drawn)


def _round_up(most: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is not below; 1 for nothing."""
    step = 0.01
    while True:
        for factor in (1, 2, 5):
            if most <= factor * step:
                return factor * step if most else 1.0
        step *= 10


def _rate(moment: Moment, door: str) -> float:
    return sum(flow.taken for flow in _at(moment, door))


def _wait(moment: Moment) -> float | None:
    waits = [flow.p95 for flow in _at(moment, "cast") if flow.p95 is not None]
    return max(waits, default=None)


def _at(moment: Moment, door: str) -> list[Flow]:
    return [flow for (name, _), flow in moment.flows.items() if name == door]
