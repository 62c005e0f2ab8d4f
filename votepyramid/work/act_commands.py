"""`votepyramid work retry|pause|resume|cancel|terminate|reset`: acts on workflows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
from sqlalchemy import Engine

from votepyramid.elections.console import answer, as_json, owner_engine, refusing
from votepyramid.engine.control import WorkRefused
from votepyramid.engine.listing import LARGEST_PAGE
from votepyramid.settings import Settings
from votepyramid.work.options import filtering
from votepyramid.work.service import (
    Act,
    Desk,
    Done,
    Filter,
    Listing,
    Order,
    act,
    act_on_all,
)

_ENDED = "Votes inside that are not recorded are then as if never sent."
_HELP = {
    Act.RETRY: "Try a waiting step at once, not when it is due.\n\n"
    "Its attempts are counted anew.",
    Act.PAUSE: "Do not try a step any more until it is resumed.\n\n"
    "An attempt under way may still succeed.",
    Act.RESUME: "Try a paused step again, at once.\n\nNo vote's fate changes.",
    Act.CANCEL: f"Ask a workflow to end; a worker ends it.\n\n{_ENDED}",
    Act.TERMINATE: f"End a workflow, also where no worker is.\n\n{_ENDED}",
    Act.RESET: "Do the steps again from one on, in a new run.\n\n"
    "What is recorded is found again; no vote is recorded twice.",
}
_NAME_OR_ALL = (
    "give the id of one workflow, or --all with what to narrow the list by, such as "
    "--needs-attention or --election"
)


def add_to(group: click.Group) -> None:
    """Give `votepyramid work` a command for each act."""
    for one in Act:
        group.add_command(_command(one))


def _command(one: Act) -> click.Command:
    @refusing
    def run(**given: Any) -> None:
        _run(one, **given)

    run.__doc__ = (
        f"{_HELP[one]} It says first what that means for the votes inside, and is an "
        "audit event of the election."
    )
    options: list[Callable[..., Any]] = [
        click.argument("workflow_id", required=False),
        click.option("--all", "every", is_flag=True, help="Each that the list has."),
        filtering,
        click.option("--run", "run_id", help="This run, not the latest."),
        click.option(
            "--reason", required=True, help="Why, for the audit log. Names no voter."
        ),
        click.option("--dry-run", is_flag=True, help="Say what it would be, no more."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        as_json,
    ]
    if one is Act.RESET:
        step = click.option("--before", required=True, help="The step to begin with.")
        options.insert(1, step)
    command: Callable[..., None] = run
    for option in reversed(options):
        command = option(command)
    return click.command(one.value)(command)


def _run(
    one: Act,
    *,
    workflow_id: str | None,
    every: bool,
    run_id: str | None,
    reason: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    before: str | None = None,
    **asked: Any,
) -> None:
    order = Order(one, reason, before=before)
    if every != (workflow_id is None) or any(asked.values()) != every:
        raise WorkRefused(_NAME_OR_ALL)
    settings = Settings.load()
    desk = Desk(settings)
    with owner_engine(settings) as engine:
        doing = _Doing(engine, desk, order, yes)
        if workflow_id is None:
            document = doing.all(Filter(**asked), dry_run)
            answer(as_json, document, _summary(document))
        else:
            done = doing.one(workflow_id, run_id, dry_run)
            answer(as_json, asdict(done), _text(done))


class _Doing:
    """An order, said first and then carried out."""

    def __init__(self, engine: Engine, desk: Desk, order: Order, yes: bool) -> None:
        self._engine = engine
        self._desk = desk
        self._order = order
        self._yes = yes

    def one(self, workflow_id: str, run_id: str | None, dry_run: bool) -> Done:
        done = act(
            self._engine, self._desk, self._order, workflow_id, run_id, dry_run=True
        )
        if dry_run:
            return done
        self._ask(f"{done.workflow_id}\n{done.said}")
        # The run that was shown, and no other.
        return act(self._engine, self._desk, self._order, done.workflow_id, done.run_id)

    def all(self, wanted: Filter, dry_run: bool) -> dict[str, Any]:
        found = self._pages(wanted, dry_run=True)
        if dry_run:
            return found
        self._ask(_summary(found))
        return self._pages(wanted, dry_run=False)

    def _ask(self, said: str) -> None:
        if not self._yes:
            click.echo(said, err=True)
            click.confirm(f"{self._order.act.capitalize()}?", abort=True, err=True)

    def _pages(self, wanted: Filter, *, dry_run: bool) -> dict[str, Any]:
        """Page after page. Raises TemporalAway, with how many were done before."""
        listing = Listing(self._desk)
        done: list[Done] = []
        refused: dict[str, str] = {}
        after: str | None = None
        while True:
            batch = act_on_all(
                self._engine,
                self._desk,
                listing,
                self._order,
                wanted,
                after=after,
                size=LARGEST_PAGE,
                dry_run=dry_run,
            )
            done += batch.done
            refused |= batch.refused
            if batch.away is not None:
                raise type(batch.away)(f"{batch.away}; {len(done)} were done before")
            after = batch.next
            if after is None:
                break
        return {
            "act": self._order.act.value,
            "done": not dry_run,
            "workflows": [one.workflow_id for one in done],
            "votes": sum(one.votes for one in done),
            "refused": refused,
            "afterwards": sorted({one.afterwards for one in done if one.afterwards}),
        }


def _text(done: Done) -> str:
    begin = f"{done.act}: done." if done.done else f"{done.act}: not done (dry run)."
    return "\n".join(filter(None, (begin, done.said, done.afterwards)))


def _summary(found: dict[str, Any]) -> str:
    how = "done" if found["done"] else "can be done"
    number, votes = len(found["workflows"]), found["votes"]
    lines = [f"{found['act']}: {how} to {number} workflows; {votes} votes only there."]
    lines += [f"  not {why}" for why in found["refused"].values()]
    return "\n".join([*lines, *found["afterwards"]])
