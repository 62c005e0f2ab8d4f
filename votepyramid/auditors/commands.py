"""`votepyramid audit`: what an auditor is given, and how they check it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from votepyramid.audit.kinds import KINDS
from votepyramid.auditors.case import Discrepancy, Row, TooEarly
from votepyramid.auditors.exporting import WAIT_S, Exported, export
from votepyramid.auditors.folder import FolderError
from votepyramid.auditors.outside import Outside
from votepyramid.auditors.verifying import verify
from votepyramid.client.commands import AUTHORITY_OPTION, MANIFEST_HASH_OPTION
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.elections.console import (
    answer,
    as_json,
    owner_engine,
    owner_keys,
    refusing,
)
from votepyramid.engine.histories import PAGE
from votepyramid.settings import Settings

_FOLDER = click.Path(path_type=Path, file_okay=False)
# Of a sentence that quotes an export.
_LONGEST = 600
MOST_KINDS = 100
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group()
def audit() -> None:
    """Export an election for auditors, and verify an export offline.

    \b
      votepyramid audit export ELECTION DIR    at the engine, by an operator
      votepyramid audit verify DIR             anywhere, by anybody
    """


@audit.command("export")
@click.argument("election")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option(
    "--wait",
    type=click.FloatRange(0, 86400),
    default=WAIT_S,
    show_default=True,
    help="Seconds to wait until the logs have what happened before, and as many for "
    "histories that Temporal does not list yet.",
)
@click.option(
    "--page",
    type=click.IntRange(1, 10_000),
    default=PAGE,
    show_default=True,
    help="How many workflows Temporal lists at a time.",
)
@as_json
@refusing
def export_command(
    election: str, folder: Path, wait: float, page: int, as_json: bool
) -> None:
    """Write all that is known of ELECTION to DIR, and sign the list of its files.

    It needs the owner's database URL, the key provider, the payload keys and Temporal,
    and a sequencer that runs: what happened before has to be in the published logs.

    Ballots stay sealed, times are those of hours. DIR is closed to others: whoever has
    it and the engine's database could link more than either alone. Cut off, it goes on
    where it stopped when it is run again.
    """
    settings = Settings.load()
    with (
        owner_engine(settings) as engine,
        owner_keys(settings, engine) as keys,
        _progress() as tell,
    ):
        try:
            done = export(engine, keys, settings, election, folder, tell, wait, page)
        except FolderError as error:
            raise CeremonyError(str(error)) from None
    document = {"election": election, "folder": str(folder), **asdict(done)}
    text = f"Wrote {done.files} files and their signed list to {folder}."
    answer(as_json, document, "\n".join([text, *_wanting(done)]))


def _wanting(done: Exported) -> Iterator[str]:
    if done.waiting:
        yield (
            f"Not whole: {done.waiting} votes and events from before are in no "
            "published log yet. Let the sequencer run, and export again, into another "
            "folder."
        )
    if done.unopened.count:
        some = ", ".join(done.unopened.examples[:3])
        yield (
            f"Not whole: the stored ballots of {done.unopened.count} votes do not "
            f"open, such as {some}: their rows or their data keys were altered. "
            "`audit verify` names the first."
        )
    if done.lacking:
        yield (
            f"Not whole: of {done.lacking.votes} votes and {done.lacking.tokens} "
            "tokens neither Temporal nor the archive has a history. If Temporal does "
            "not list them yet, another export, into another folder, will have them. "
            "Else they are lost, or never came through a workflow: `audit verify` "
            "names one once the election is finished."
        )


@audit.command("verify")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@AUTHORITY_OPTION
@MANIFEST_HASH_OPTION
@click.option(
    "--checkpoint",
    "checkpoints",
    type=_FILE,
    multiple=True,
    help="A checkpoint of a log that you kept: of a witness, an earlier audit. Repeat.",
)
@click.option(
    "--receipt",
    "receipts",
    type=_FILE,
    multiple=True,
    help="A receipt that a voter kept: it must be among the votes. Repeat.",
)
@click.option(
    "--closing", type=_FILE, help="The closing statement, as it was published."
)
@click.option(
    "--policy",
    type=_FILE,
    help="Whose cosignatures you ask for, instead of the export's: a C2SP tlog-policy.",
)
@as_json
@refusing
def verify_command(
    folder: Path,
    authority: str | None,
    manifest_hash: str | None,
    checkpoints: tuple[Path, ...],
    receipts: tuple[Path, ...],
    closing: Path | None,
    policy: Path | None,
    as_json: bool,
) -> None:
    """Check the export in DIR, with no network and no engine.

    What you kept yourself is what no engine can rewrite: give it.

    \b
    Exit status: 0 all checks held; what could not be checked is named
                 1 DIR is no export, or what you gave cannot be used
                 3 a discrepancy, which is named
                 4 no discrepancy, but the export was made too early: ask for another

    \b
    Examples:
      votepyramid audit verify export --authority "$(cat authority.vkey)"
      votepyramid audit verify export --checkpoint june.checkpoint --receipt mine.json
    """
    files = checkpoints, receipts, closing, policy
    outside = Outside(authority, *files, manifest_hash=manifest_hash)
    try:
        with _progress() as tell:
            rows, found = verify(folder, outside, tell)
    except FolderError as error:
        raise CeremonyError(_plain(str(error))) from None
    answer(as_json, _document(rows, found), _table(rows, found))
    sys.exit(_status(found))


def _status(found: Discrepancy | None) -> int:
    if found is None:
        return 0
    return 4 if isinstance(found, TooEarly) else 3


def _document(rows: list[Row], found: Discrepancy | None) -> dict[str, object]:
    problem = found and {"check": found.check, "problem": _plain(found.problem)}
    early = isinstance(found, TooEarly)
    return {
        "election": _about(rows).get("election"),
        "manifest_hash": _about(rows).get("manifest_hash"),
        "checks": [_check(row) for row in rows],
        "discrepancy": None if early else problem,
        "too_early": problem if early else None,
    }


def _check(row: Row) -> dict[str, object]:
    shown = vars(row).items()
    return {name: value for name, value in shown if name != "about" and value != {}}


def _about(rows: list[Row]) -> Mapping[str, str]:
    """Which election it is; nothing while the manifest does not hold."""
    return next((row.about for row in rows if row.about), {})


def _table(rows: list[Row], found: Discrepancy | None) -> str:
    table = Table(box=None, pad_edge=False)
    table.add_column("check")
    table.add_column("count", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("found")
    for row in rows:
        numbers = f"{row.count:,}", f"{row.seconds:.1f}"
        table.add_row(row.check, *numbers, escape(_plain(row.found)))
    console = Console(width=100, highlight=False)
    with console.capture() as captured:
        console.print(table)
    kinds = "".join(map(_kinds, rows))
    return f"{_head(rows)}{captured.get()}{kinds}\n{_last_line(rows, found)}"


def _head(rows: list[Row]) -> str:
    about = _about(rows)
    if not about:
        return ""
    return "Election {election}\nManifest hash {manifest_hash}\n\n".format_map(about)


def _kinds(row: Row) -> str:
    """A check's counts by name, a line each; hostile exports can have any number."""
    if not row.kinds:
        return ""
    shown = sorted(row.kinds.items(), key=lambda one: one[0] in KINDS)[:MOST_KINDS]
    lines = [f"  {number:>10,}  {_plain(kind)}\n" for kind, number in sorted(shown)]
    more = len(row.kinds) - len(shown)
    rest = f"  and {more} more kinds\n" if more else ""
    return f"\n{row.check}\n{''.join(lines)}{rest}"


def _last_line(rows: list[Row], found: Discrepancy | None) -> str:
    if isinstance(found, TooEarly):
        return f"TOO EARLY, {found.check}: {_plain(found.problem)}"
    if found is not None:
        return f"DISCREPANCY in {found.check}: {_plain(found.problem)}"
    open_ones = ", ".join(row.check for row in rows if row.unchecked)
    return (
        f"All held, but not all could be checked: {open_ones}."
        if open_ones
        else ("All held.")
    )


def _plain(text: str) -> str:
    """What an export says, on one line and without what a terminal obeys."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each thing told of, on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:22}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total or None)

        yield tell
