"""What a person reads: the tables, and what the comparison leaves out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from bench import targets
from bench.checks import Counts
from bench.cpu import SELF
from bench.machine import machine_text, write_results
from bench.rounds import Result
from bench.share import envelope_and_receipt_ms
from bench.targets import Figure, aligned

LEFT_OUT = """\
What the comparison leaves out
  Only the engine's figures include HTTP, the request's checks and the read at the
  door; the textbook's callers call Temporal directly. Only the engine records in one
  transaction and exactly once when a step repeats, notes each vote's group and
  notifies. Claims, TLS, a proxy, rate limits across processes and the network are in
  neither: tokens are issued and ballots sealed before the clock starts, and everything
  runs on one machine, the load generators too. Both use the same database, ballots,
  codec and steps, and unsandboxed workers; the other's processes are up but idle."""


TEXTBOOK = "textbook"
# Percent.
MOST_SHARE = 10.0


@dataclass(frozen=True)
class Contender:
    """One row of the table."""

    name: str
    clients: int
    results: list[Result]

    @property
    def title(self) -> str:
        return f"{self.name}, {self.clients} client{'s' * (self.clients > 1)}"

    def rates(self) -> list[float]:
        return [result.rate for result in self.results]

    def percentiles(self, percent: float) -> list[float]:
        """In milliseconds, a round each."""
        return [1000 * result.percentile(percent) for result in self.results]

    def cpu(self) -> dict[str, float]:
        """CPU milliseconds a vote by part, the median over the rounds."""
        parts = {part for result in self.results for part in result.cpu}
        return {
            part: median(
                [
                    1000 * result.cpu.get(part, 0.0) / max(1, len(result.latencies))
                    for result in self.results
                ]
            )
            for part in sorted(parts)
        }


def ratios(engine: Contender, textbook: Contender) -> list[float]:
    """How many times the textbook's rate the engine's is, round by round."""
    pairs = zip(engine.rates(), textbook.rates(), strict=True)
    return [ours / theirs for ours, theirs in pairs]


def show(
    console: Console,
    contenders: list[Contender],
    textbook: Contender | None,
    counts: Counts,
    figures: list[Figure],
    where: dict[str, Any],
) -> None:
    """Print everything; `textbook` is one of the contenders, or None."""
    headings = ["", "votes/s", "p50 ms", "p95 ms", "p99 ms", "x textbook"]
    rows = [headings]
    for one in contenders:
        times = ""
        if textbook is not None and one is not textbook:
            times = _spread(ratios(one, textbook), 1)
        waits = (_spread(one.percentiles(percent), 0) for percent in (50, 95, 99))
        rows.append([one.title, _spread(one.rates(), 1), *waits, times])
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    say("\nMedians over the rounds (least to most)\n" + aligned(rows))
    say("\nCPU milliseconds a vote\n" + aligned(_cpu_rows(contenders)))
    targets.show(console, figures)
    again = [one.title for one in contenders if any(r.again for r in one.results)]
    if again:
        say(f"\nVotes had to be sent again in: {'; '.join(again)}.")
    say(
        f"\n{counts.receipts} votes: as many verified receipts, used tokens and audit "
        "events; none twice."
    )
    say(f"\n{machine_text(where)}\n\n{LEFT_OUT}")


def shares(contenders: list[Contender]) -> list[Figure]:
    """What envelope and receipt are of a cast's CPU, which is that of the servers."""
    milliseconds = envelope_and_receipt_ms()
    return [
        Figure(
            f"Envelope and receipt, of a cast's CPU: {one.title}",
            100 * milliseconds / _of_servers(one),
            "%",
            MOST_SHARE,
            under=True,
        )
        for one in contenders
        if one.name != TEXTBOOK
    ]


def _of_servers(one: Contender) -> float:
    return sum(spent for part, spent in one.cpu().items() if part != SELF)


def _cpu_rows(contenders: list[Contender]) -> list[list[str]]:
    parts = sorted({part for one in contenders for part in one.cpu()})
    rows = [["", *parts, "all"]]
    for one in contenders:
        used = one.cpu()
        spent = [used.get(part, 0.0) for part in parts]
        cells = [f"{value:.2f}" if value else "" for value in [*spent, sum(spent)]]
        rows.append([one.title, *cells])
    return rows


def _spread(values: list[float], digits: int) -> str:
    middle, least, most = (
        f"{value:.{digits}f}" for value in (median(values), min(values), max(values))
    )
    return f"{middle} ({least} to {most})"


def write(
    folder: Path,
    contenders: list[Contender],
    counts: Counts,
    figures: list[Figure],
    options: dict[str, Any],
    where: dict[str, Any],
) -> Path:
    """Every round's figures as JSON."""
    document = {
        "machine": where,
        "options": options,
        "counts": asdict(counts),
        "figures": [one.document() for one in figures],
        "contenders": [
            {
                "name": one.name,
                "clients": one.clients,
                "votes_per_second": one.rates(),
                **{f"p{p}_ms": one.percentiles(p) for p in (50, 95, 99)},
                "cpu_ms_per_vote": one.cpu(),
                "rounds": [_round(result) for result in one.results],
            }
            for one in contenders
        ],
    }
    return write_results(folder, "", document)


def _round(result: Result) -> dict[str, Any]:
    """With the latencies' percentiles in their place."""
    waits = {
        percent: round(1000 * result.percentile(percent), 1)
        for percent in (1, 10, 25, 50, 75, 90, 95, 99, 100)
    }
    return asdict(result) | {"latencies": len(result.latencies), "waits_ms": waits}
