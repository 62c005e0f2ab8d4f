"""Choices as a voter gives them: from a JSON file, or asked for one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from votepyramid.client.errors import ChoicesError
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.ballot import SelectionError, Selections, check_selections
from votepyramid.protocol.encoding import ProtocolError, strict_json

MAX_CHOICES_BYTES = 256 * 1024
_ADVICE = (
    'Give choice ids by rank, as in {"mayor": ["c2", "c1"]}; [] leaves a rank or a '
    "contest empty."
)


def parse(data: bytes, manifest: manifests.Manifest, style: str) -> Selections:
    """Choices from JSON, for every contest of the style. Raises ChoicesError.

    A rank is a choice id, or a list of marks; ranks left out at the end are empty.
    """
    try:
        value = strict_json(data, MAX_CHOICES_BYTES)
    except ProtocolError as error:
        raise ChoicesError(f"the choices: {error.problem}", _ADVICE) from None
    if not isinstance(value, dict):
        raise ChoicesError("the choices are not a JSON object of contests", _ADVICE)
    ranks = {c["id"]: c["ranks"] for c in manifests.contests(manifest, style)}
    selections = {
        contest: _ranks(contest, given, ranks.get(contest, 0))
        for contest, given in value.items()
    }
    try:
        return check_selections(manifest, style, selections)
    except SelectionError as error:
        raise ChoicesError(f"the choices: {error.problem}", _ADVICE) from None


def ask(
    manifest: manifests.Manifest,
    style: str,
    *,
    say: Callable[[str], None],
    prompt: Callable[[str, int], int],
) -> Selections:
    """Ask rank by rank. `prompt(text, highest)` gives 0 for none, or a number."""
    selections: Selections = {}
    for contest in manifests.contests(manifest, style):
        say(f"\n{contest['title']}")
        for number, choice in enumerate(contest["choices"], 1):
            say(f"  {number:>3}  {choice['name']}")
        ids = manifests.choices(contest)
        ranks: list[list[str]] = []
        for rank in range(1, contest["ranks"] + 1):
            number = prompt(_question(rank, contest["ranks"]), len(ids))
            ranks.append([ids[number - 1]] if number else [])
        selections[contest["id"]] = ranks
    return selections


def summary(
    manifest: manifests.Manifest, style: str, selections: Selections
) -> list[str]:
    """One line a rank, with names, to be confirmed before sealing."""
    lines = []
    for contest in manifests.contests(manifest, style):
        names = {c["id"]: c["name"] for c in contest["choices"]}
        for rank, marks in enumerate(selections[contest["id"]], 1):
            told = ", ".join(names[mark] for mark in marks) or "(empty)"
            lines.append(f"{contest['title']}, choice {rank}: {told}")
    return lines


def _question(rank: int, ranks: int) -> str:
    which = "Your choice" if ranks == 1 else f"Choice {rank} of {ranks}"
    return f"{which} (number, 0 for none)"


def _ranks(contest: str, given: Any, ranks: int) -> Any:
    if not isinstance(given, list):
        raise ChoicesError(f"{contest}: not a list of ranks", _ADVICE)
    listed = [[rank] if isinstance(rank, str) else rank for rank in given]
    return listed + [[] for _ in range(ranks - len(listed))]
