"""`votepyramid work …`: what the workflows do, for an operator."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

import click

from votepyramid.elections.console import answer, as_json, owner_engine, refusing
from votepyramid.engine.listing import LARGEST_PAGE, PAGE
from votepyramid.settings import Settings
from votepyramid.work import act_commands
from votepyramid.work.options import filtering
from votepyramid.work.service import (
    Counts,
    Desk,
    Filter,
    Listed,
    Listing,
    Page,
    Shown,
    State,
    Step,
    show,
)


@click.group()
def work() -> None:
    """Show the workflows of claims and votes, what acts on them mean, and do these.

    A vote is found by its receipt hash or its group's id, never by its voter.
    """


@work.command("list")
@click.option(
    "--state", "states", multiple=True, type=click.Choice([s.value for s in State])
)
@filtering
@click.option(
    "--size", type=click.IntRange(1, LARGEST_PAGE), default=PAGE, show_default=True
)
@click.option("--after", help="`next` of the page before.")
@as_json
@refusing
def list_command(
    states: tuple[str, ...], size: int, after: str | None, as_json: bool, **asked: Any
) -> None:
    """List workflows, running ones first, with their number by state.

    \b
    Examples:
      votepyramid work list --needs-attention
      votepyramid work list --state running --older-than 60 --json
    """
    wanted = Filter(frozenset(map(State, states)), **asked)
    listing = Listing(Desk(Settings.load()))
    page, counts = listing.page(wanted, after, size), listing.counts(wanted)
    shown = {
        "counts": {**counts.states},
        "needs_attention": counts.needs_attention,
        "workflows": [_plain(one) for one in page.workflows],
        "next": page.next,
    }
    answer(as_json, shown, _listed(page, counts))


@work.command("show")
@click.argument("name", metavar="WORKFLOW_ID|RECEIPT_HASH")
@click.option("--run", "run_id", help="This run, not the latest.")
@as_json
@refusing
def show_command(name: str, run_id: str | None, as_json: bool) -> None:
    """Show a workflow's steps, and where the votes inside it stand in Postgres.

    With what waiting, and each act that can be done now, would mean for them.

    \b
    Examples:
      votepyramid work show votes/1f0c9a2b53d64d0f8ad1f3b7b0a3c111
      votepyramid work show vote/RECEIPT_HASH --json
    """
    settings = Settings.load()
    with owner_engine(settings) as engine:
        found = show(engine, Desk(settings), name, run_id)
    answer(as_json, _document(found), _text(found))


def _plain(one: Any) -> dict[str, Any]:
    """A dataclass as JSON has it."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in dataclasses.asdict(one).items()
    }


def _document(found: Shown) -> dict[str, Any]:
    work_ = _plain(found.work)
    # Who votes is nobody's to read here.
    del work_["voters"]
    return {
        **work_,
        "steps": [{**_plain(s), "seconds": s.seconds} for s in found.work.steps],
        "meaning": _plain(found.meaning),
        "others": list(found.others),
    }


def _listed(page: Page, counts: Counts) -> str:
    states = ", ".join(f"{n} {state}" for state, n in counts.states.items())
    lines = [f"{states or 'none'}; {counts.needs_attention} need attention"]
    lines += [_line(one) for one in page.workflows]
    if page.next:
        lines.append(f"More: --after {page.next}")
    return "\n".join(lines)


def _line(one: Listed) -> str:
    state = "needs attention" if one.needs_attention else one.state
    started = one.started_at.isoformat(timespec="seconds")
    at = f"  at {one.stuck_at}" if one.stuck_at else ""
    return f"{started}  {state:<15}  {one.election or '-'}  {one.workflow_id}{at}"


def _text(found: Shown) -> str:
    work_ = found.work
    state = "running, needs attention" if work_.needs_attention else work_.state
    rows = {
        "Workflow": work_.workflow_id,
        "Run": work_.run_id,
        "Kind": work_.kind,
        "Election": work_.election,
        "State": state,
        "Ended": work_.end,
        "Came from": work_.came_from,
        "Left alone": ", ".join(work_.went_on),
        "Also in": ", ".join(found.others),
        "Console": work_.link,
    }
    lines = [f"{name:<11} {value}" for name, value in rows.items() if value]
    lines += ["Steps", *(f"  {_step(step)}" for step in work_.steps)]
    lines += ["Inside", f"  {found.meaning.said}"]
    for act, said in found.meaning.acts.items():
        lines.append(f"  {act:<10} {said}")
    return "\n".join(lines)


def _step(step: Step) -> str:
    took = "" if step.seconds is None else f", {step.seconds:.3f} s"
    begun = step.began_at.isoformat(timespec="milliseconds")
    text = f"{begun}  {step.name}: {step.state}, attempts {step.attempts}{took}"
    if step.failure:
        text += f"; last failure: {step.failure}"
    if step.progress:
        text += f"; {step.progress.what} {step.progress.done}"
        text += f" of {step.progress.total}" if step.progress.total else ""
    if step.next_try_at:
        text += f"; next try {step.next_try_at.isoformat(timespec='seconds')}"
    return text


act_commands.add_to(work)
