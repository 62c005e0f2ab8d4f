"""`votepyramid roster …` and `votepyramid voter …`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from votepyramid.elections.ceremony import CeremonyError
from votepyramid.elections.console import answer, as_json, owner_engine, refusing
from votepyramid.eligibility import roster as rosters
from votepyramid.eligibility.dev_issuer import DevIssuer
from votepyramid.settings import Settings


@click.group()
def roster() -> None:
    """Import who may vote."""


@roster.command("import")
@click.argument("election_id")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@as_json
@refusing
def import_command(election_id: str, file: Path, as_json: bool) -> None:
    """Make FILE the current roster of the election, whole or not at all.

    CSV in UTF-8 with the columns voter_id, precinct and the attributes that the
    manifest declares.
    """
    try:
        opened = file.open("rb")
    except OSError as error:
        raise CeremonyError(f"cannot read {file}: {error.strerror}") from None
    with opened, owner_engine() as engine, _bar(file, quiet=as_json) as progress:
        done = rosters.import_roster(engine, election_id, opened, progress=progress)
    answer(
        as_json,
        {**vars(done), "file_sha256": done.file_sha256.hex()},
        f"Roster version {done.version} of {done.election}: {done.voters} voters, "
        f"{done.new_voters} of them new.",
    )


@contextmanager
def _bar(file: Path, *, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """A progress bar on standard error, by bytes read."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(f"Importing {file.name}", total=os.stat(file).st_size)
        yield lambda size: bar.advance(task, size)


@click.group()
def voter() -> None:
    """Development only: act as a voter's identity provider."""


@voter.command("token")
@click.argument("voter_id")
@click.option("--hours", type=click.FloatRange(0.01, 24), default=1.0)
@as_json
@refusing
def token_command(voter_id: str, hours: float, as_json: bool) -> None:
    """A bearer token that signs VOTER_ID in, from the development issuer."""
    issuer = DevIssuer.of(Settings.load())
    try:
        token = issuer.token(voter_id, int(hours * 3600))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="VOTER_ID") from None
    answer(as_json, {"token": token}, token)
