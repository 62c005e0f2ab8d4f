"""What a stack that is up tells: the person in front of it, and other commands."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from votepyramid.stack import demo
from votepyramid.stack.demo import DemoBallot
from votepyramid.stack.layout import Layout
from votepyramid.stack.progress import Progress

CODEC_SERVER = "Codec server"
_VOTEPYRAMID = ".venv/bin/votepyramid"


@dataclass(frozen=True)
class Telling:
    """`places` are addresses by name, None where there is none; `environment` is that
    of an operator's command."""

    layout: Layout
    progress: Progress
    environment: Mapping[str, str]
    places: Mapping[str, str | None]
    ballot: DemoBallot | None

    def write_environment(self) -> None:
        """For other commands in another terminal: `source var/run/environment`."""
        settings = dict(self.environment)
        codec_url = self.places[CODEC_SERVER]
        if codec_url is not None:
            settings["VOTEPYRAMID_CODEC_URL"] = codec_url
        if self.ballot is not None:
            settings["VOTEPYRAMID_ELECTION"] = demo.ELECTION
            settings["VOTEPYRAMID_AUTHORITY"] = self.ballot.authority
        lines = [
            f"export {name}={shlex.quote(value)}\n"
            for name, value in settings.items()
            if name.startswith("VOTEPYRAMID_")
        ]
        # Whole or not at all: its being there says that the stack is up.
        half = self.layout.environment.with_suffix(".part")
        half.touch(mode=0o600)
        half.write_text("".join(lines))
        half.replace(self.layout.environment)

    def banner(self, *, watch: bool) -> None:
        """Where everything is; with `watch`, what can be opened while it is up."""
        rows: dict[str, str | None] = {}
        if self.ballot is not None:
            rows["Receipt"] = self.ballot.receipt_hash
        if watch:
            rows |= self.places
        rows["Logs"] = str(self.layout.logs)
        show = self.progress.console.print
        show("")
        for name, value in rows.items():
            if value:
                show(f"  {name:<18} {escape(value)}")
        if watch:
            self._invite()

    def _invite(self) -> None:
        """What can be typed while the stack is up."""
        show = self.progress.console.print
        show("\n  In another terminal, with this stack's settings and as its operator:")
        commands = [f"source {_short(self.layout.environment)}"]
        if self.ballot is not None:
            # The development issuer signs anyone in: there are no passwords.
            sign_in = f"{_VOTEPYRAMID} voter token {demo.VOTERS[1]}"
            commands += [
                f"VOTEPYRAMID_JWT=$({sign_in}) {_VOTEPYRAMID} vote --out my.json",
                f"{_VOTEPYRAMID} verify {_short(self.ballot.file)}",
                f"{_VOTEPYRAMID} election show {demo.ELECTION}",
            ]
        if self.places[CODEC_SERVER] is not None:
            commands.append(f"{_VOTEPYRAMID} operator link")
        for command in commands:
            show(f"    {escape(command)}")
        if self.places[CODEC_SERVER] is not None:
            show("\n  The last prints a link; opened, the console shows payloads.")
        show("\n  Ctrl-C stops everything; `make run` goes on with the same state.")


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
