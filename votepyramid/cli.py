"""The `votepyramid` command: a table of rooms, each opened only when asked for.

A voter's `vote` must not wait for the server's libraries to load, so a command's
module is imported when it runs; the one-line help stands here.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

# name: (module:attribute of a click command or group, one line of help)
COMMANDS = {
    "up": ("votepyramid.stack.commands:up", "Run the whole stack on this machine."),
    "reset": ("votepyramid.stack.commands:reset", "Throw the stack's state away."),
    "db": ("votepyramid.stack.commands:db", "Migrate the database."),
    "serve": ("votepyramid.web.commands:serve", "Run a web process."),
    "worker": ("votepyramid.engine.commands:worker", "Run a worker process."),
    "admin": ("admin_ui.commands:admin", "Serve the administrators' pages."),
    "codec-server": (
        "votepyramid.web.codec_server.commands:codec_server",
        "Open payloads for Temporal's web console.",
    ),
    "log": ("votepyramid.receipts.commands:log", "Run the sequencer, show the logs."),
    "doctor": (
        "votepyramid.doctor.commands:doctor",
        "Check an installation, say what is wrong.",
    ),
    "audit": (
        "votepyramid.auditors.commands:audit",
        "Export an election for auditors, verify an export.",
    ),
    "work": (
        "votepyramid.work.commands:work",
        "Show workflows, and what acts on them mean for the votes inside; do them.",
    ),
    "keys": (
        "votepyramid.custody.commands:keys",
        "Show, rotate, rewrap and destroy key-encryption keys.",
    ),
    "election": (
        "votepyramid.elections.commands:election",
        "Make, open, close and show elections.",
    ),
    "people": (
        "votepyramid.people.commands:people",
        "Invite and disable those who run elections.",
    ),
    "roster": (
        "votepyramid.eligibility.commands:roster",
        "Import who may vote.",
    ),
    "voter": (
        "votepyramid.eligibility.commands:voter",
        "Development only: act as a voter's identity provider.",
    ),
    "operator": (
        "votepyramid.web.codec_server.commands:operator",
        "Sign operators in at the codec server.",
    ),
    "vote": ("votepyramid.client.commands:vote", "Cast a ballot as a voter."),
    "verify": ("votepyramid.client.commands:verify", "Check a receipt offline."),
    "verify-absence": (
        "votepyramid.client.statement_commands:verify_absence",
        "Check that no vote stands under a token.",
    ),
    "verify-none-issued": (
        "votepyramid.client.statement_commands:verify_none_issued",
        "Check that no token was issued to a voter.",
    ),
    "replay": (
        "votepyramid.replay.commands:replay",
        "Cast a whole election from a cast-vote-record file.",
    ),
}


class Rooms(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(module), attribute)
        if "structlog" in sys.modules:
            from votepyramid.processes import log_to_stderr

            log_to_stderr()
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The console script: ends the process without tearing the interpreter down.

        The Temporal SDK's native threads abort at times when it is torn down under
        them, after the command has done its work.
        """
        try:
            return super().__call__(*args, **kwargs)
        except SystemExit as ended:
            if "temporalio" not in sys.modules:
                raise
            from votepyramid.processes import leave

            leave(ended.code if isinstance(ended.code, int) else int(bool(ended.code)))

    def invoke(self, ctx: click.Context) -> Any:
        from votepyramid.keys.provider import KeyProviderError
        from votepyramid.settings import SettingsError
        from votepyramid.stack.errors import StackError

        try:
            return super().invoke(ctx)
        except (SettingsError, KeyProviderError, StackError) as error:
            # What a person can mend is a sentence, not a traceback.
            raise click.ClickException(str(error)) from error


@click.command(cls=Rooms)
@click.version_option(package_name="votepyramid")
def main() -> None:
    """A vote capture engine: one-time tokens, sealed ballots, receipts."""
