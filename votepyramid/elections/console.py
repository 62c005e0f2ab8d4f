"""What the operators' commands share: settings, answers, and refusals as sentences."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import click
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from votepyramid.audit.operators import acting
from votepyramid.db import make_engine
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.elections.keygen import KeyFileError
from votepyramid.elections.manifest import ManifestInvalid
from votepyramid.eligibility.roster_files import RosterInvalid
from votepyramid.engine.control import TemporalAway, WorkRefused
from votepyramid.engine.rewrapping import RewrapEnded
from votepyramid.errors import PROBLEMS, Refused
from votepyramid.keys import providers
from votepyramid.keys.provider import KeyProviderError
from votepyramid.keys.service import ElectionKeys
from votepyramid.logs.keeping import KeepingError
from votepyramid.people.errors import PeopleError
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.settings import Settings, SettingsError

P = ParamSpec("P")
R = TypeVar("R")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@contextmanager
def owner_engine(settings: Settings | None = None) -> Iterator[Engine]:
    """An engine of the owner role, for the settings' operator. Raises SettingsError."""
    settings = settings or Settings.load()
    engine = make_engine(
        settings.require("owner_database_url"),
        pool_size=2,
        application_name="votepyramid-operator",
    )
    try:
        yield acting(engine, settings)
    finally:
        engine.dispose()


@contextmanager
def owner_keys(settings: Settings, engine: Engine) -> Iterator[ElectionKeys]:
    """The keys of elections, for one command; wiped at its end."""
    keys = ElectionKeys(providers.make(settings), engine, settings.data_key_rows)
    try:
        yield keys
    finally:
        keys.close()


def answer(as_json: bool, document: dict[str, Any], text: str) -> None:
    """Print the document as one line of JSON, or the text for people."""
    click.echo(json.dumps(document, ensure_ascii=False) if as_json else text)


def refusing(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what a person can mend into sentences and exit status 1.

    With `--json` they are one object on standard output: {"error", "problems"}.
    """

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except _MENDABLE as error:
            _fail(bool(kwargs.get("as_json")), *_sentences(error))

    return wrapped


def read_json_file(path: Path, limit: int, parse: Callable[[bytes, int], Any]) -> Any:
    """A file's content by a strict reader. Raises CeremonyError naming the file."""
    try:
        with path.open("rb") as file:
            return parse(file.read(limit + 1), limit)
    except OSError as error:
        raise CeremonyError(f"cannot read {path}: {error.strerror}") from None
    except ProtocolError as error:
        raise CeremonyError(f"{path}: {error.problem}") from None


def write_new_file(path: Path, data: bytes) -> None:
    """Write a file that is not there yet. Raises CeremonyError."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise CeremonyError(f"{path} exists and is not overwritten") from None
    except OSError as error:
        raise CeremonyError(f"cannot write {path}: {error.strerror}") from None


_MENDABLE = (
    CeremonyError,
    DBAPIError,
    KeepingError,
    KeyFileError,
    KeyProviderError,
    ManifestInvalid,
    PeopleError,
    PoolTimeout,
    ProtocolError,
    Refused,
    RewrapEnded,
    RosterInvalid,
    SettingsError,
    TemporalAway,
    WorkRefused,
)


def _sentences(error: Exception) -> tuple[str, list[dict[str, Any]]]:
    """What went wrong, and its parts where there are several."""
    if isinstance(error, ManifestInvalid):
        problems = [vars(problem) for problem in error.problems]
        return f"the manifest has {len(problems)} problems", problems
    if isinstance(error, RosterInvalid):
        listed = [vars(problem) for problem in error.problems]
        return f"nothing imported: {error.count} bad lines", listed
    if isinstance(error, Refused):
        return f"{PROBLEMS[error.code].title} ({error.code})", []
    if isinstance(error, DBAPIError | PoolTimeout):
        cause = str(getattr(error, "orig", error)).strip().splitlines()
        return f"the database said: {cause[0] if cause else 'nothing'}", []
    if isinstance(error, ProtocolError) and not str(error):
        return error.problem, []
    return str(error), []


def _fail(as_json: bool, error: str, problems: list[dict[str, Any]]) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"error": error, "problems": problems}))
    else:
        click.echo(f"Error: {error}", err=True)
        for problem in problems:
            place = problem.get("path", f"line {problem.get('line')}") or "manifest"
            click.echo(f"  {place}: {problem['message']}", err=True)
    sys.exit(1)
