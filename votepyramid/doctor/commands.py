"""`votepyramid doctor`: what is wrong with an installation, in sentences."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from votepyramid.doctor import (
    configured,
    database,
    elections,
    exports,
    keys,
    logs,
    rights,
    signing_in,
    temporal,
)
from votepyramid.doctor.asking import Owner
from votepyramid.doctor.check import (
    Check,
    Result,
    State,
    exit_status,
    run_all,
)
from votepyramid.elections.console import as_json
from votepyramid.settings import Settings, SettingsError

_SHOWN = {
    State.OK: "[green]✓[/]",
    State.WARNING: "[yellow]! warning[/]",
    State.WRONG: "[red]✗ wrong[/]",
    State.UNCHECKED: "[yellow]? unchecked[/]",
    State.SKIPPED: "[dim]- skipped[/]",
}


@click.command()
@as_json
def doctor(as_json: bool) -> None:
    """Check this installation, and say what is wrong and what to do about it.

    With the settings of a process in the environment, and the owner's database URL
    (VOTEPYRAMID_OWNER_DATABASE_URL); at the sequencer also with
    VOTEPYRAMID_CHECKPOINT_FOLDER, at the exporting worker and the administrators' pages
    with VOTEPYRAMID_EXPORTS_FOLDER. Nothing is changed. Every check has five seconds.

    Exit status: 0 all is well; 1 something is wrong; 2 nothing wrong was found, but
    not everything could be checked. A warning alone is 0.

    \b
    Examples:
      votepyramid doctor
      votepyramid doctor --json
    """
    results = _results(as_json)
    status = exit_status(results)
    if as_json:
        document = {"exit": status, "checks": [_plain(result) for result in results]}
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        _show(results)
    sys.exit(status)


def all_checks(settings: Settings) -> list[Check]:
    """Every check there is, in the order in which they are shown."""
    owner = Owner(settings)
    return [
        *configured.checks(settings),
        *database.checks(settings, owner),
        *rights.checks(settings, owner),
        *temporal.checks(settings),
        *keys.checks(settings, owner),
        *logs.checks(settings, owner),
        *elections.checks(settings, owner),
        *exports.checks(settings, owner),
        *signing_in.checks(settings),
    ]


def _results(as_json: bool) -> list[Result]:
    try:
        checks = all_checks(Settings.load())
    except SettingsError as error:
        message = str(error)
        return run_all(
            [Check("settings", "settings", lambda: configured.unusable(message))]
        )
    console = Console(stderr=True, quiet=as_json)
    with console.status("") as status:
        return run_all(
            checks, lambda names: status.update(f"Waiting for {', '.join(names)} …")
        )


def _plain(result: Result) -> dict[str, str]:
    finding = result.finding
    return {
        "name": result.check.name,
        "subject": result.check.subject,
        "state": str(finding.state),
        "sentence": finding.sentence,
        "todo": finding.todo,
    }


def _show(results: Sequence[Result]) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("subject", "check", "", "found"):
        table.add_column(title, no_wrap=title != "found", overflow="fold")
    for result in results:
        check, finding = result.check, result.finding
        said = escape(finding.sentence)
        if finding.todo:
            said += f"\n[bold]{escape(finding.todo)}[/]"
        table.add_row(check.subject, check.name, _SHOWN[finding.state], said)
    Console(highlight=False).print(table)
