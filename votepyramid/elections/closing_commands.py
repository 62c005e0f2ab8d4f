"""`votepyramid election close`: an election brought to its end, while one watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from sqlalchemy import Engine

from votepyramid.elections import ceremony, closing, finishing, service
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.elections.closing import Closing
from votepyramid.elections.console import answer, as_json, owner_engine, refusing
from votepyramid.engine.control import Desk
from votepyramid.settings import Settings
from workflows import messages as m

PAUSE_S = 0.5

Watcher = Callable[[Closing], None]


@click.command("close")
@click.argument("election_id", metavar="ELECTION")
@click.option("--early", is_flag=True, help="At once, before the announced time.")
@click.option("--no-wait", is_flag=True, help="Ask for it, and do not watch.")
@click.option("--cancel", is_flag=True, help="Call it off while claims are taken.")
@click.option(
    "--by-hand",
    is_flag=True,
    help="Close now, in this command: for when Temporal is away. Then `election "
    "finish` is yours.",
)
@as_json
@refusing
def close_command(
    election_id: str,
    early: bool,
    no_wait: bool,
    cancel: bool,
    by_hand: bool,
    as_json: bool,
) -> None:
    """Close ELECTION at its announced time, and finish it.

    A workflow does it, on a worker with `--role closing`: it ends claims, lets ballots
    in for the grace time, waits until every vote is decided and in the public log, and
    signs the closing statement, which is printed. Ctrl-C ends the watching, not the
    work; the same command joins it again.

    \b
    Examples:
      votepyramid election close spring
      votepyramid election close spring --early --no-wait
      votepyramid election close spring --cancel
    """
    if cancel + by_hand > 1 or (cancel and (early or no_wait)):
        raise click.UsageError("--cancel goes with no other, --by-hand with --early")
    settings = Settings.load()
    with owner_engine(settings) as engine:
        if by_hand:
            _by_hand(engine, election_id, early, as_json)
            return
        desk = Desk(settings)
        if cancel:
            closing.cancel(engine, desk, election_id)
            shown = {"id": election_id, "phase": m.NOT_ASKED}
            answer(as_json, shown, f"The closing of {election_id} is called off.")
            return
        closing.start_or_join(engine, desk, election_id, early=early)
        if no_wait:
            asked = closing.state(engine, desk, election_id)
            shown = _plain(election_id, asked)
            answer(as_json, shown, f"Election {election_id}: {_said(asked)}.")
            return
        _watch(engine, desk, election_id, as_json)


def _by_hand(engine: Engine, election: str, early: bool, as_json: bool) -> None:
    view = ceremony.close(engine, election, early=early)
    until = service.grace_ends_at(view)
    answer(
        as_json,
        service.describe(view),
        f"Election {view.id} is closed; ballots under claimed tokens until {until}.",
    )


def _watch(engine: Engine, desk: Desk, election: str, as_json: bool) -> None:
    try:
        with _line(election, quiet=as_json) as tell:
            while (now := closing.state(engine, desk, election)).phase != m.FINISHED:
                if now.phase == m.NOT_ASKED:
                    raise CeremonyError(f"the closing of {election!r} was called off")
                tell(now)
                time.sleep(PAUSE_S)
    except KeyboardInterrupt:
        click.echo("It goes on; the same command shows how far it is.", err=True)
        sys.exit(130)
    with engine.connect() as connection:
        view = service.get(connection, election)
        note = finishing.closing(connection, election) or ""
    shown = {**service.describe(view), "statement": note}
    answer(as_json, shown, note.rstrip())


def _plain(election: str, now: Closing) -> dict[str, Any]:
    until = now.until.isoformat() if now.until is not None else None
    return {"id": election, **vars(now), "until": until}


@contextmanager
def _line(election: str, *, quiet: bool) -> Iterator[Watcher]:
    """One line on standard error: the phase, a countdown, what it waits for.

    Where that is no terminal, a line for each change.
    """
    console = Console(stderr=True)
    if quiet:
        yield lambda now: None
        return
    if not console.is_terminal:
        said: list[str] = []

        def tell(now: Closing) -> None:
            if said[-1:] != [text := _said(now)]:
                said.append(text)
                click.echo(f"{election}: {text}", err=True)

        yield tell
        return
    with console.status(f"Closing {election}") as status:
        yield lambda now: status.update(_shown(election, now))


def _said(now: Closing) -> str:
    stuck = " (needs attention)" if now.needs_attention else ""
    return f"{now.title}{stuck}: {now.waiting_for or 'nothing is left to do'}"


def _shown(election: str, now: Closing) -> str:
    left = _left(now.until)
    title = f"[bold]{election}[/] {now.title}"
    if now.needs_attention:
        title += " [bold red]needs attention[/]"
    return f"{title}{f' {left}' if left else ''}: {escape(now.waiting_for)}"


def _left(until: datetime | None) -> str:
    """A countdown, by this machine's clock; what counts is the database's."""
    if until is None:
        return ""
    seconds = max(0, round((until - datetime.now(UTC)).total_seconds()))
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
