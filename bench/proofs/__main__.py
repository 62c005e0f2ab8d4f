"""`make bench-proofs`: the sequencer, proofs and an audit, each beside its target.

Debian's PostgreSQL with fsync on, as in the other benches; everything in one run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import click

from bench import election, targets, votes
from bench.backlog import cast_all, drain
from bench.machine import machine, machine_text, write_results
from bench.place import Place
from bench.processes import processes
from bench.proofs.auditing import audit
from bench.proofs.cold import cold_proofs
from bench.proofs.feeding import Fed, feed
from bench.stack import find_programs, running
from bench.targets import Figure
from votepyramid.logs.store import AUDIT, RECEIPTS
from votepyramid.stack import children
from votepyramid.stack.errors import StackError
from votepyramid.stack.layout import ROOT, VAR
from votepyramid.stack.progress import Progress

SLOT_S = 0.5
# A little more than the target, so that a sequencer that keeps up shows it.
SUSTAINED, STEADY = 5_500, 1_000
LEAST_SEQUENCED, LEAST_AUDITED, LEAST_SHARE = 5_000, 50_000, 90.0
LONGEST_WAIT_MS, LONGEST_PROOF_MS = 1_000, 5.0


@dataclass(frozen=True)
class Plan:
    """`leaves` in the end; those that come while a sequencer runs are among them."""

    leaves: int
    sustained_seconds: float
    steady_seconds: float
    cold: int
    drop_caches: bool
    raw_seconds: float

    @property
    def parts(self) -> tuple[int, int, int]:
        """How many votes wait at once, and how many come at the two rates."""
        sustained = int(SUSTAINED * self.sustained_seconds)
        steady = int(STEADY * self.steady_seconds)
        return self.leaves - sustained - steady, sustained, steady


@dataclass
class Proofs:
    """One run; `figures` have targets, `said` is what else was seen."""

    place: Place
    plan: Plan
    progress: Progress
    figures: list[Figure] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        waiting, sustained, _ = self.plan.parts
        self._fill()
        self._backlog(waiting)
        self._sustained(waiting)
        self._steady(waiting + sustained)
        self._audit()
        # The last: Temporal's connections end with every restart.
        self._cold()

    def _fill(self) -> None:
        """All votes made, and claimed: their tokens' events are in the log before."""
        number = self.plan.leaves
        with self.progress.step("Votes") as step:
            with processes() as every, self.place.owner() as db:
                votes.stage(db, self.place.made(every, number))
                votes.claim_all(db, election.ID)
                db.execute("VACUUM ANALYZE")
            step.detail = f"{number:,}, each with a receipt"
        with self.progress.step("Tokens' events") as step:
            rate = number / drain(self.place)
            step.detail = f"{rate:,.0f} entries/s into the audit log alone"
            self.said["events_per_second"] = rate

    def _backlog(self, number: int) -> None:
        with self.progress.step("Sequencer, a backlog") as step:
            cast_all(self.place, number)
            rate = number / drain(self.place)
            step.detail = _both(number, rate)
        what = f"Sequencer, a backlog of {number:,} leaves and as many events"
        self.figures.append(Figure(what, rate, "leaves/s", LEAST_SEQUENCED))

    def _sustained(self, first: int) -> None:
        number = self.plan.parts[1]
        with self.progress.step("Sequencer, sustained") as step:
            fed = feed(self.place, first, number, SUSTAINED, SLOT_S)
            late = 1000 * fed.percentile(RECEIPTS, 99)
            step.detail = f"{_both(fed.number, fed.public)}; p99 {late:,.0f} ms"
        self._say("sustained", fed)
        what = f"Sequencer, {fed.offered:,.0f} casts/s coming, an event each"
        self.figures.append(Figure(what, fed.public, "leaves/s", LEAST_SEQUENCED))

    def _steady(self, first: int) -> None:
        number = self.plan.parts[2]
        with self.progress.step(f"Sequencer at {STEADY}/s") as step:
            fed = feed(self.place, first, number, STEADY, SLOT_S)
            step.detail = _both(fed.number, fed.public)
        self._say("steady", fed)
        coming = f"at {fed.offered:,.0f} casts/s, T = {SLOT_S} s"
        for kind, what in ((RECEIPTS, "Leaf"), (AUDIT, "Its event")):
            p99 = 1000 * fed.percentile(kind, 99)
            text = f"{what}, commit to checkpoint, p99 {coming}"
            self.figures.append(Figure(text, p99, "ms", LONGEST_WAIT_MS, under=True))

    def _audit(self) -> None:
        with self.progress.step("Export and verify") as step:
            audited = audit(self.place, self.plan.raw_seconds)
            step.detail = (
                f"export {audited.export_s:.0f} s; stored ballots "
                f"{audited.rate('stored ballots'):,.0f}/s"
            )
        for check, what in (("receipt-log", "receipts"), ("audit-log", "events")):
            count = audited.rows[check].count
            text = f"audit verify, the log of {count:,} {what} and its tree"
            rate = audited.rate(check)
            self.figures.append(Figure(text, rate, "leaves/s", LEAST_AUDITED))
        before, after = audited.raw
        text = (
            f"audit verify, {audited.rate('receipts'):,.0f} receipts/s, of raw Ed25519 "
            f"({before:,.0f}/s before, {after:,.0f}/s after)"
        )
        self.figures.append(Figure(text, audited.share, "%", LEAST_SHARE))
        self.said |= {"raw_per_second": audited.raw, "export_s": audited.export_s}
        for check in ("receipts", "stored ballots"):
            self.said[f"{check}_per_second"] = audited.rate(check)

    def _cold(self) -> None:
        with self.progress.step("Proofs, cold") as step:
            direct, over_http, emptied = cold_proofs(
                self.place, self.plan.cold, self.plan.drop_caches
            )
            cache = "the system's cache too" if emptied else "not the system's cache"
            step.detail = f"Postgres started anew before each, and {cache} emptied"
        for how, times in (("by the service", direct), ("over HTTP", over_http)):
            text = (
                f"Inclusion proof, cold, of {self.plan.leaves:,} leaves, {how}: median "
                f"of {len(times)} (slowest {max(times):.1f} ms)"
            )
            figure = Figure(text, median(times), "ms", LONGEST_PROOF_MS, under=True)
            self.figures.append(figure)
            self.said[f"cold_ms_{how}"] = times
        self.said["cache_emptied"] = emptied

    def _say(self, name: str, fed: Fed) -> None:
        self.said[name] = {
            "offered_per_second": fed.offered,
            "public_per_second": fed.public,
            **{
                f"{kind}_p{p}_ms": 1000 * fed.percentile(kind, p)
                for kind in fed.waits
                for p in (50, 99)
            },
        }


def _both(number: int, rate: float) -> str:
    return (
        f"{number:,} votes: {rate:,.0f} leaves/s, and {2 * rate:,.0f} entries/s of "
        "both logs"
    )


@click.command()
@click.option("--leaves", default=1_000_000, show_default=True)
@click.option("--sustained-seconds", default=60.0, show_default=True)
@click.option("--steady-seconds", default=60.0, show_default=True)
@click.option("--cold", default=20, show_default=True, help="Proofs of each kind.")
@click.option(
    "--drop-caches/--keep-caches", default=True, help="Of the system, as root."
)
@click.option("--raw-seconds", default=5.0, show_default=True, help="Twice as long.")
@click.option("--state", type=click.Path(path_type=Path), default=VAR / "bench")
@click.option(
    "--results", type=click.Path(path_type=Path), default=ROOT / "bench" / "results"
)
def main(state: Path, results: Path, **given: Any) -> None:
    """Measure the logs: sequencing, proving, exporting, verifying.

    Ends with 1 when a target is missed.
    """
    progress, plan, where = Progress(), Plan(**given), machine()
    if plan.parts[0] < 1:
        raise click.ClickException("more votes come in those seconds than --leaves has")
    try:
        programs = find_programs(progress)
        with running(state, progress) as stack:
            stack.start_servers(programs)
            bench = Proofs(Place.prepare(stack), plan, progress)
            bench.run()
    except children.Interrupted:
        raise SystemExit(130) from None
    except StackError as error:
        raise click.ClickException(f"{error}\nLogs are in {state / 'logs'}.") from None
    _report(progress, bench, where, given, results)
    raise SystemExit(targets.exit_status(bench.figures))


def _report(
    progress: Progress,
    bench: Proofs,
    where: dict[str, Any],
    options: dict[str, Any],
    results: Path,
) -> None:
    targets.show(progress.console, bench.figures)
    progress.console.print(f"\n{machine_text(where)}", highlight=False, markup=False)
    document = {
        "machine": where,
        "options": options,
        "figures": [one.document() for one in bench.figures],
        "more": bench.said,
    }
    path = write_results(results, "proofs-", document)
    progress.console.print(f"\nAll figures: {path}")


if __name__ == "__main__":
    main()
