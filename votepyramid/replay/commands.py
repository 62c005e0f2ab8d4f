"""`votepyramid replay`."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from votepyramid.client.errors import ClientError
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.elections.console import as_json
from votepyramid.elections.manifest import ManifestInvalid
from votepyramid.keys.provider import KeyProviderError
from votepyramid.protocol.suites import SUITES, XWING
from votepyramid.replay import records, stacks
from votepyramid.replay.ballots import Ballots
from votepyramid.replay.load import ReplayFailed
from votepyramid.replay.run import Plan
from votepyramid.replay.run import replay as run_replay
from votepyramid.replay.stacks import Target
from votepyramid.settings import SettingsError
from votepyramid.stack.errors import StackError


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--url",
    envvar="VOTEPYRAMID_URL",
    help="A running stack's address; without it one is started for the replay.",
)
@click.option(
    "--clients",
    type=click.IntRange(1, 2048),
    default=64,
    show_default=True,
    help="Voters at once.",
)
@click.option(
    "--limit", type=click.IntRange(1), help="Cast so many of the ballots, at random."
)
@click.option(
    "--suite",
    type=click.Choice(list(SUITES)),
    default=XWING.id,
    show_default=True,
    help="What the ballots are sealed with.",
)
@click.option(
    "--seed",
    type=int,
    help="Repeat an order. Who knows it and the file knows who voted how.",
)
@as_json
def replay(
    file: Path,
    url: str | None,
    clients: int,
    limit: int | None,
    suite: str,
    seed: int | None,
    as_json: bool,
) -> None:
    """Cast a whole election from FILE and count it again.

    FILE is a cast vote record, `precinct,rank1,…,rankN,ballots`: names in any
    script, `undervote`, `overvote`. A fresh election is made from it with one voter
    for each ballot. All claim, seal and cast through HTTP; then every stored ballot
    is opened with the trustees' key and compared with the file. Exits with 1 when
    anything differs. Choices are never written to disk.
    """
    console = Console(stderr=as_json, highlight=False)
    signal.signal(signal.SIGTERM, _leave)
    try:
        ballots = Ballots(records.read(file), limit=limit, seed=seed)
        plan = Plan(file.name, ballots, clients, suite)
        console.print(plan.summary())
        with _target(url, console) as target:
            report = run_replay(plan, target, console)
    except (records.RecordsError, OSError, ReplayFailed) as error:
        _fail(str(error), as_json)
    except (ClientError, CeremonyError, ManifestInvalid, KeyProviderError) as error:
        _fail(f"{error} {getattr(error, 'advice', '')}".strip(), as_json)
    except (StackError, SettingsError) as error:
        _fail(str(error), as_json)
    except DBAPIError as error:
        _fail(f"the database: {str(error.orig).splitlines()[0]}", as_json)
    report.show(console)
    if as_json:
        click.echo(json.dumps(report.to_json(), ensure_ascii=False))
    if report.differences:
        sys.exit(1)


def _target(url: str | None, console: Console) -> AbstractContextManager[Target]:
    if url:
        return nullcontext(stacks.given(url, os.environ))
    return stacks.started(console)


def _leave(number: int, frame: Any) -> NoReturn:
    # An exit and not an end: the stack that was started is to be stopped.
    click.echo(f"Error: stopped by {signal.Signals(number).name}", err=True)
    sys.exit(128 + number)


def _fail(problem: str, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"status": "failed", "problem": problem}))
    else:
        click.echo(f"Error: {problem}", err=True)
    sys.exit(1)
