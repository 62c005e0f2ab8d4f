"""What a replay found, for a person and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from votepyramid.replay.count import Totals
from votepyramid.replay.timing import Timing

_PERCENTILES = (50, 95, 99)
_NAMED = 20


@dataclass(frozen=True)
class Report:
    """A replay from end to end. `differences` is empty when all is as it must be."""

    file: str
    election: str
    ballots: int
    distinct: int
    clients: int
    waits: Mapping[str, int]
    claims: Timing
    casts: Timing
    verified: int
    totals: Totals
    differences: list[str]

    def to_json(self) -> dict[str, Any]:
        return {
            "status": "different" if self.differences else "equal",
            "file": self.file,
            "election": self.election,
            "ballots": self.ballots,
            "distinct_ballots": self.distinct,
            "clients": self.clients,
            "waits": dict(self.waits),
            "claims": _timing(self.claims),
            "casts": _timing(self.casts),
            "votes_per_second": round(self.casts.rate, 1),
            "receipts_verified": self.verified,
            **asdict(self.totals),
            "differences": self.differences,
        }

    def show(self, console: Console) -> None:
        """Print it as a table and a few lines."""
        table = Table("", "voters", "per second", *(f"p{p}" for p in _PERCENTILES))
        for name, timing in (("claims", self.claims), ("casts", self.casts)):
            times = (_milliseconds(timing.percentile(p)) for p in _PERCENTILES)
            table.add_row(name, str(len(timing.each)), f"{timing.rate:.0f}", *times)
        for column in table.columns[1:]:
            column.justify = "right"
        console.print(table)
        totals = self.totals
        console.print(
            f"{self.clients} clients, {_waits(self.waits)}. "
            f"{totals.tokens_issued} tokens issued, {totals.tokens_used} used. "
            f"{totals.votes_accepted} votes, {self.verified} receipts verified, "
            f"{totals.audit_accepted} audited."
        )
        if not self.differences:
            console.print(
                f"[green]✓[/] {self.distinct} different ballots, {self.ballots} in "
                "all: the opened ballot box holds exactly what the file says."
            )
            return
        console.print(f"[red]✗[/] {len(self.differences)} differences:")
        for difference in self.differences[:_NAMED]:
            console.print(f"  {escape(difference)}")
        if len(self.differences) > _NAMED:
            console.print(f"  and {len(self.differences) - _NAMED} more (--json)")


def _waits(waits: Mapping[str, int]) -> str:
    if not waits:
        return "nobody had to try twice"
    told = ", ".join(f"{count} for {reason}" for reason, count in waits.items())
    return f"{sum(waits.values())} waits before a retry ({escape(told)})"


def _timing(timing: Timing) -> dict[str, float]:
    return {
        "seconds": round(timing.seconds, 3),
        "per_second": round(timing.rate, 1),
        **{
            f"p{percent}_ms": round(timing.percentile(percent) * 1000, 2)
            for percent in _PERCENTILES
        },
    }


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
