"""Figures beside what was asked for: met or missed, as a table and an exit status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console


@dataclass(frozen=True)
class Figure:
    """A figure and its target: the least that will do, or what it must stay under."""

    what: str
    measured: float
    unit: str
    target: float
    under: bool = False

    @property
    def met(self) -> bool:
        if self.under:
            return self.measured < self.target
        return self.measured >= self.target

    def row(self) -> list[str]:
        """As the table has it."""
        sign = "<" if self.under else "≥"
        return [
            self.what,
            f"{number(self.measured)} {self.unit}",
            f"{sign} {number(self.target)} {self.unit}",
            "met" if self.met else "MISSED",
        ]

    def document(self) -> dict[str, Any]:
        """For a file of results."""
        return asdict(self) | {"met": self.met}


def number(value: float) -> str:
    """Three digits or more, as a person writes it."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.1f}"


def show(console: Console, figures: Sequence[Figure]) -> None:
    """Print every figure beside its target."""
    headings = ["", "measured", "target", ""]
    text = aligned([headings, *(one.row() for one in figures)])
    console.print(f"\n{text}", highlight=False, markup=False, soft_wrap=True)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A table of numbers and their names."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in rows
    )


def exit_status(figures: Sequence[Figure]) -> int:
    """1 when one is missed."""
    return 0 if all(one.met for one in figures) else 1
