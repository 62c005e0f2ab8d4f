"""`make bench`: this engine and the textbook workflow, side by side."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from bench import checks, report, targets
from bench.cpu import Parts
from bench.election import Prepared
from bench.machine import machine
from bench.report import TEXTBOOK, Contender
from bench.rounds import Result, Spec
from bench.stack import BenchStack, Variant, find_programs, running
from votepyramid.stack import children
from votepyramid.stack.errors import StackError
from votepyramid.stack.layout import ROOT, VAR
from votepyramid.stack.progress import Progress

RESULTS = ROOT / "bench" / "results"
TEXTBOOK_CLIENTS = 32
# Votes a second to have ballots for. A round that runs out of them is an error.
MOST_ALONE = 120
MOST_MANY = 800
MOST_TEXTBOOK = 100


@dataclass
class Entry:
    """A contender while it is measured."""

    name: str
    clients: int
    parts: Parts
    env: dict[str, str]
    module: str
    most: int
    port: int = 0
    results: list[Result] = field(default_factory=list)

    def ballots(self, seconds: float) -> int:
        """How many a round of this length needs."""
        return 4 * self.clients + int(self.most * seconds)


@dataclass(frozen=True)
class Plan:
    rounds: int
    seconds: float
    textbook_seconds: float
    warm_up: float
    clients: tuple[int, ...]
    textbook: bool
    textbook_workers: int
    textbook_pollers: int
    variants: tuple[Variant, ...]

    def lasts(self, entry: Entry) -> float:
        """Seconds of a round, warm-up included."""
        slow = entry.name == TEXTBOOK
        return self.warm_up + (self.textbook_seconds if slow else self.seconds)


class Bench:
    """Runs the rounds, one contender after the other in each."""

    def __init__(self, stack: BenchStack, plan: Plan, progress: Progress) -> None:
        self._stack = stack
        self._plan = plan
        self._progress = progress
        self._next = 0
        self._receipts = 0

    def run(self) -> tuple[list[Contender], checks.Counts]:
        entries = self._entries_before_start()
        per_round = sum(e.ballots(self._plan.lasts(e)) for e in entries)
        warm = sum(e.ballots(self._plan.warm_up) for e in entries)
        prepared = self._stack.prepare_election(per_round * self._plan.rounds + warm)
        self._start(entries)
        with self._progress.step("Warm-up"):
            for entry in entries:
                self._round(prepared, entry, 0.0, self._plan.warm_up)
        for number in range(1, self._plan.rounds + 1):
            self._one_round(prepared, entries, number)
        counts = checks.exactly_once(self._stack.postgres.owner_url, self._receipts)
        measured = [Contender(e.name, e.clients, e.results) for e in entries]
        return measured, counts

    def _entries_before_start(self) -> list[Entry]:
        entries = [
            Entry(
                variant.name,
                clients,
                {},
                {},
                "bench.http_load",
                MOST_ALONE if clients == 1 else MOST_MANY,
            )
            for clients in self._plan.clients
            for variant in self._plan.variants
        ]
        if self._plan.textbook:
            module = "bench.textbook.callers"
            most = MOST_TEXTBOOK
            entries.append(Entry(TEXTBOOK, TEXTBOOK_CLIENTS, {}, {}, module, most))
        return entries

    def _start(self, entries: list[Entry]) -> None:
        engines = {v.name: self._stack.start_engine(v) for v in self._plan.variants}
        textbook: Parts = {}
        if self._plan.textbook:
            textbook = self._stack.start_textbook(
                self._plan.textbook_workers, self._plan.textbook_pollers
            )
        for entry in entries:
            entry.env = self._stack.environment({})
            if entry.name in engines:
                engine = engines[entry.name]
                entry.parts, entry.port = engine.parts, engine.port
            else:
                entry.parts = textbook

    def _one_round(self, prepared: Prepared, entries: list[Entry], number: int) -> None:
        with self._progress.step(f"Round {number} of {self._plan.rounds}") as step:
            # Shuffled, so that nobody always follows the same one.
            for entry in random.sample(entries, len(entries)):
                seconds = self._plan.lasts(entry) - self._plan.warm_up
                result = self._round(prepared, entry, self._plan.warm_up, seconds)
                entry.results.append(result)
            step.detail = ", ".join(
                f"{e.name}@{e.clients} {e.results[-1].rate:.1f}/s" for e in entries
            )

    def _round(
        self, prepared: Prepared, entry: Entry, warm_up: float, seconds: float
    ) -> Result:
        run = self._stack.layout.run
        asked, answered = run / "spec.json", run / "result.json"
        answered.unlink(missing_ok=True)
        ballots = entry.ballots(warm_up + seconds)
        Spec(
            manifest=str(prepared.manifest),
            bearers=str(prepared.bearers),
            first=self._next,
            ballots=ballots,
            clients=entry.clients,
            warm_up=warm_up,
            seconds=seconds,
            parts=entry.parts,
            port=entry.port,
        ).write(asked)
        self._next += ballots
        log = self._stack.layout.logs / f"load-{entry.name}.log"
        process = children.spawn(
            [sys.executable, "-m", entry.module, asked, answered],
            log=log,
            env=entry.env,
            cwd=ROOT,
            record=self._stack.layout.record("load"),
        )
        try:
            children.wait_until(
                lambda: process.poll() is not None, seconds=warm_up + seconds + 180
            )
        finally:
            if process.poll() is None:
                children.stop(process)
        if process.returncode != 0 or not answered.exists():
            raise StackError(f"A load generator failed:\n{children.tail(log, 20)}")
        result = Result.read(answered)
        if result.exhausted:
            raise StackError(
                f"{entry.name} cast more than {entry.most} votes a second and ran out "
                "of ballots: raise MOST_MANY and its neighbours in bench/__main__.py."
            )
        self._receipts += result.receipts
        return result


def _variant(text: str, workers: int) -> Variant:
    """`groups_in_flight=3,workers=2,code=/another/checkout` as a second engine."""
    given = dict(part.split("=", 1) for part in text.split(",") if part)
    return Variant(
        name=text.replace("/", "_") or "engine",
        code=Path(given.pop("code", ROOT)).resolve(),
        workers=int(given.pop("workers", workers)),
        settings=given,
    )


@click.command()
@click.option("--rounds", default=4, show_default=True)
@click.option("--seconds", default=8.0, show_default=True, help="Window of an engine.")
@click.option("--textbook-seconds", default=15.0, show_default=True)
@click.option("--textbook-workers", default=1, show_default=True)
@click.option("--textbook-pollers", default=16, show_default=True)
@click.option("--warm-up", default=2.0, show_default=True, help="Before each window.")
@click.option("--clients", default="1,32,64", show_default=True)
@click.option("--no-textbook", is_flag=True, help="Measure engines only.")
@click.option("--workers", default=1, show_default=True, help="Worker processes.")
@click.option(
    "--beside",
    multiple=True,
    metavar="NAME=VALUE,…",
    help="Another engine beside the default one, with these settings; `workers` and "
    "`code` (another checkout) are understood too. Repeatable.",
)
@click.option("--state", type=click.Path(path_type=Path), default=VAR / "bench")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS)
def main(beside: tuple[str, ...], workers: int, clients: str, **given: Any) -> None:
    """Measure the engine and the textbook workflow in one interleaved run."""
    state, results = given.pop("state"), given.pop("results")
    plan = Plan(
        clients=tuple(int(n) for n in clients.split(",")),
        textbook=not given.pop("no_textbook"),
        variants=(Variant(workers=workers), *(_variant(b, workers) for b in beside)),
        **given,
    )
    progress = Progress()
    where = machine()
    try:
        programs = find_programs(progress)
        with running(state, progress) as stack:
            stack.start_servers(programs)
            contenders, counts = Bench(stack, plan, progress).run()
    except children.Interrupted:
        raise SystemExit(130) from None
    except (StackError, checks.NotExact) as error:
        raise click.ClickException(f"{error}\nLogs are in {state / 'logs'}.") from None
    textbook = next((c for c in contenders if c.name == TEXTBOOK), None)
    figures = report.shares(contenders)
    report.show(progress.console, contenders, textbook, counts, figures, where)
    options = {**given, "clients": clients, "workers": workers, "beside": beside}
    path = report.write(results, contenders, counts, figures, options, where)
    progress.console.print(f"\nAll figures: {path}")
    raise SystemExit(targets.exit_status(figures))


if __name__ == "__main__":
    main()
