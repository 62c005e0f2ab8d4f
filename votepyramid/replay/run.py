"""A replay from end to end: election, voters, ballots, count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from votepyramid.client.sdk import VotingClient
from votepyramid.replay import count
from votepyramid.replay import election as elections
from votepyramid.replay import load as loading
from votepyramid.replay.ballots import Ballots
from votepyramid.replay.election import Operator, ReplayElection
from votepyramid.replay.load import Load
from votepyramid.replay.report import Report
from votepyramid.replay.stacks import Target

TITLE = "Replay of {}"


@dataclass(frozen=True)
class Plan:
    """What is replayed and how. `suite` is an HPKE suite's id."""

    file: str
    ballots: Ballots
    clients: int
    suite: str

    def summary(self) -> str:
        """What is about to be replayed, in one line."""
        records = self.ballots.records
        return (
            f"{self.file}: {len(self.ballots)} ballots, {len(records.precincts)} "
            f"precincts, {len(records.names)} choices, {records.ranks} ranks"
        )


def replay(plan: Plan, target: Target, console: Console) -> Report:
    """Run the election. Raises ReplayFailed, and what the services raise."""
    with closing(Operator(target.environment)) as operator:
        with console.status("Making the election …"):
            election = elections.make(
                operator, plan.ballots, title=TITLE.format(plan.file), suite=plan.suite
            )
        load = _vote(plan, target, operator, election, console)
        elections.close(operator, election)
        return _count(plan, operator, election, load, console)


def _vote(
    plan: Plan,
    target: Target,
    operator: Operator,
    election: ReplayElection,
    console: Console,
) -> Load:
    with VotingClient(
        target.url,
        election.id,
        authority_vkey=election.authority_vkey,
        allow_http=True,
    ) as client:
        pinned = client.manifest()
    with _bars(console) as bars:
        steps = loading.Progress(
            claimed=_bar(bars, "Claiming", len(plan.ballots)),
            cast=_bar(bars, "Casting", len(plan.ballots)),
        )
        load = Load(
            target.url,
            pinned,
            plan.ballots,
            operator.issuer.token,
            clients=plan.clients,
            progress=steps,
        )
        load.run()
    return load


def _count(
    plan: Plan,
    operator: Operator,
    election: ReplayElection,
    load: Load,
    console: Console,
) -> Report:
    expected = plan.ballots.expected()
    totals = count.totals(operator.engine, election.id)
    with _bars(console) as bars:
        opened = count.open_all(
            operator.engine,
            operator.keys,
            election.manifest,
            election.private,
            plan.ballots,
            _bar(bars, "Opening", totals.votes_accepted),
        )
    audit = count.audited(operator.engine, election.id)
    return Report(
        file=plan.file,
        election=election.id,
        ballots=len(plan.ballots),
        distinct=len(expected),
        clients=plan.clients,
        waits=load.waits,
        claims=load.claims,
        casts=load.casts,
        verified=len(load.receipts),
        totals=totals,
        differences=count.differences(expected, opened, totals, load.receipts, audit),
    )


class _Rate(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.0f}/s")


@contextmanager
def _bars(console: Console) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, speed_estimate_period=10) as bars:
        yield bars


def _bar(bars: Progress, title: str, total: int) -> Callable[[], None]:
    """A bar that begins with its first step."""
    task = bars.add_task(title, total=total, start=False)

    def step() -> None:
        if not bars.tasks[task].started:
            bars.start_task(task)
        bars.advance(task)

    return step
