"""Options that several commands of `votepyramid work` have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from votepyramid.engine.listing import KINDS, STEPS

_AGE = click.FloatRange(min=0, max=3650 * 86_400)
_FILTER = (
    click.option("--kind", type=click.Choice(KINDS)),
    click.option("--election", help="Only of this election."),
    click.option(
        "--needs-attention", is_flag=True, help="Only running ones that retry."
    ),
    click.option(
        "--step", type=click.Choice(STEPS), help="Only those that retry this step."
    ),
    click.option(
        "--older-than", type=_AGE, help="Started at least so many seconds ago."
    ),
    click.option(
        "--younger-than", type=_AGE, help="Started at most so many seconds ago."
    ),
)


def filtering(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a list can be narrowed by, but for the states: the fields of `Filter`."""
    for option in reversed(_FILTER):
        command = option(command)
    return command
