"""`make bench-pages`: every page of the administrators, with a large data set behind.

Debian's PostgreSQL and temporal-server, as in the other benches; `votepyramid admin`
with its own database role; a signed-in administrator over HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from bench import targets
from bench.machine import machine, machine_text, write_results
from bench.pages import dataset
from bench.pages.addresses import PASSPHRASE, PERSON, Address, addresses
from bench.pages.asking import Times, Visitor, ask_seldom, ask_together
from bench.pages.workflows import BALLOTS, STUCK, open_workflows
from bench.place import Place
from bench.stack import find_programs, running
from bench.targets import Figure
from votepyramid.audit.operators import acting_as
from votepyramid.engine.control import Desk
from votepyramid.engine.listing import Filter, Listing
from votepyramid.people import setup
from votepyramid.stack import children
from votepyramid.stack.errors import StackError
from votepyramid.stack.layout import ROOT, VAR
from votepyramid.stack.ports import LOOPBACK, free_port
from votepyramid.stack.progress import Progress

# A browser's name for it: security keys are given to no address.
HOST = "localhost"
TOGETHER = 4
LONGEST_MS = 300
# More than what is kept of lists of workflows is held for.
PAUSE_S = 6.0


@dataclass(frozen=True)
class Plan:
    votes: int
    workflows: int
    rounds: int
    pause: float


@dataclass(frozen=True)
class Measured:
    """By how many asked at once."""

    pages: list[Address]
    times: dict[int, Times]

    def figures(self) -> list[Figure]:
        """The p95 of each page beside the target."""
        return [
            Figure(
                f"p95, {at_once} at once: {page.title}",
                times.percentile(page.title, 95),
                "ms",
                LONGEST_MS,
                under=True,
            )
            for at_once, times in self.times.items()
            for page in self.pages
        ]

    def table(self) -> str:
        """Milliseconds: p50, p95 and the slowest, by how many asked at once."""
        headings = [""]
        for at_once in self.times:
            headings += [f"p50, {at_once}", f"p95, {at_once}", f"max, {at_once}", ""]
        rows = [headings]
        for page in self.pages:
            row = [page.title]
            for times in self.times.values():
                values = [times.percentile(page.title, p) for p in (50, 95, 100)]
                row += [f"{value:.0f}" for value in values]
                row.append("met" if values[1] < LONGEST_MS else "MISSED")
            rows.append(row)
        return targets.aligned(rows)


def run(place: Place, plan: Plan, progress: Progress) -> Measured:
    """Make the data set, and ask."""
    dataset.fill(place, plan.votes, progress)
    with progress.step("Workflows") as step:
        opened = open_workflows(place, plan.workflows)
        step.detail = f"{plan.workflows:,} are open"
    _add_person(place)
    pages = addresses(opened, _found(place))
    with dataset.reporting(place), _admin(place) as port:
        return Measured(pages, _ask(port, pages, plan, progress))


def _ask(
    port: int, pages: list[Address], plan: Plan, progress: Progress
) -> dict[int, Times]:
    with progress.step("What takes long"), _visiting(port, 1) as (one,):
        for page in pages:
            one.wait_for(page)
    with progress.step("One at a time"), _visiting(port, 1) as (one,):
        alone = ask_seldom(one, pages, plan.rounds, plan.pause)
    with progress.step(f"{TOGETHER} at once"), _visiting(port, TOGETHER) as all_of_them:
        together = ask_together(all_of_them, pages, plan.rounds)
    return {1: alone, TOGETHER: together}


@contextmanager
def _visiting(port: int, number: int) -> Iterator[list[Visitor]]:
    """So many signed-in visitors; a connection that rests is closed by the server."""
    visitors = [Visitor(HOST, port) for _ in range(number)]
    for one in visitors:
        one.sign_in()
    yield visitors
    for one in visitors:
        one.close()


def _found(place: Place) -> dict[str, Any]:
    """What the addresses need of the data set."""
    query = (
        "SELECT receipt, receipt_hash, (SELECT id FROM orders ORDER BY given_at DESC "
        "LIMIT 1), (SELECT subject FROM audit_events WHERE kind = 'token_issued' "
        "AND subject IS NOT NULL LIMIT 1) FROM vote_submissions LIMIT 1"
    )
    with place.owner() as db:
        [(receipt, receipt_hash, order, pseudonym)] = db.execute(query).fetchall()
    page = Listing(Desk(place.settings)).page(Filter())
    return {
        "receipt": receipt,
        "receipt_hash": receipt_hash,
        "order": order,
        "pseudonym": pseudonym,
        "after": page.next or "",
    }


def _add_person(place: Place) -> None:
    """PERSON, by a link as everybody."""
    engine = acting_as(place.engine, "bench")
    link = setup.invite(engine, PERSON, ["administrator", "operator", "auditor"])
    setup.accept(engine, link.secret, PERSON, PASSPHRASE)


@contextmanager
def _admin(place: Place) -> Iterator[int]:
    port, exports = free_port(), place.stack.layout.secrets / "exports"
    exports.mkdir(mode=0o700, exist_ok=True)
    settings = {
        # In production an administrator needs a security key.
        "environment": "development",
        "database_url": place.stack.postgres.admin_url,
        "admin_origin": f"http://{HOST}:{port}",
        "exports_folder": str(exports),
    }
    arguments = ["admin", "--listen", f"{LOOPBACK}:{port}"]
    admin = place.stack.program("admin", arguments, settings, f"{port}/health/live")
    admin.start()
    try:
        yield port
    finally:
        admin.stop()


@click.command()
@click.option("--votes", default=1_000_000, show_default=True)
@click.option("--workflows", default=10_000, show_default=True)
@click.option("--rounds", default=40, show_default=True, help="Each page, so often.")
@click.option("--pause", default=PAUSE_S, show_default=True, help="Seconds a round.")
@click.option("--state", type=click.Path(path_type=Path), default=VAR / "bench")
@click.option(
    "--results", type=click.Path(path_type=Path), default=ROOT / "bench" / "results"
)
def main(state: Path, results: Path, **given: Any) -> None:
    """Measure the administrators' pages with many votes and open workflows.

    Ends with 1 when a target is missed.
    """
    progress, plan, where = Progress(), Plan(**given), machine()
    try:
        programs = find_programs(progress)
        with running(state, progress) as stack:
            stack.start_servers(programs)
            voters = BALLOTS * min(STUCK, max(1, plan.workflows // 100))
            measured = run(Place.prepare(stack, voters), plan, progress)
    except children.Interrupted:
        raise SystemExit(130) from None
    except StackError as error:
        raise click.ClickException(f"{error}\nLogs are in {state / 'logs'}.") from None
    figures = measured.figures()
    say = partial(progress.console.print, highlight=False, markup=False, soft_wrap=True)
    say(f"\nMilliseconds, target p95 < {LONGEST_MS} ms\n{measured.table()}")
    say(f"\n{machine_text(where)}")
    document = {
        "machine": where,
        "options": given,
        "figures": [one.document() for one in figures],
        "times": {n: times.by_page for n, times in measured.times.items()},
    }
    path = write_results(results, "pages-", document)
    say(f"\nAll figures: {path}")
    raise SystemExit(targets.exit_status(figures))


if __name__ == "__main__":
    main()
