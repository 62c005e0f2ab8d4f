"""What a person sees of a stack: one line a step, and what goes wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape


class Step:
    """A step under way; `detail` ends up on its line."""

    def __init__(self) -> None:
        self.detail = ""


class Progress:
    """Prints steps as they are done; on a terminal the current one spins."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show `title` while the body runs, then one line with the time it took."""
        step, started = Step(), time.monotonic()
        with self.console.status(f"{title} …"):
            yield step
        seconds = time.monotonic() - started
        self.console.print(
            f"  [green]✓[/] {title:<22} {escape(step.detail)} [dim]{seconds:.1f} s[/]"
        )

    def say(self, line: str) -> None:
        """One plain line."""
        self.console.print(f"    {escape(line)}")

    def problem(self, line: str) -> None:
        """Something a person should know of, while the stack stays up."""
        self.console.print(f"  [yellow]![/] {escape(line)}")
