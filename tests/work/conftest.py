"""An engine, an election on it, and `votepyramid work` as an operator runs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine as SqlEngine

from tests.support.elections import MadeElection
from tests.support.engines import Engine, Engines
from tests.support.faults import Console
from tests.support.voting import Door
from votepyramid.cli import main
from votepyramid.db import make_engine
from votepyramid.settings import Settings

Run = Callable[..., Result]
CONSOLE = "https://console.example.org"
_NUMBERS = count()


@pytest.fixture(scope="package")
def engine(engines: Engines) -> Iterator[Engine]:
    """Groups follow each other, so that a test decides what travels together."""
    with engines.running("work", groups_in_flight=1) as started:
        yield started


@pytest.fixture(scope="package")
def console(engine: Engine) -> Console:
    return Console(engine.env)


@pytest.fixture
def election(engine: Engine) -> MadeElection:
    return engine.make_election(id=f"work-{next(_NUMBERS)}", voters=8)


@pytest.fixture
def door(engine: Engine, election: MadeElection) -> Door:
    return engine.doors(election)[0]


@pytest.fixture
def settings(engine: Engine) -> Settings:
    return engine.settings


@pytest.fixture
def pages(engine: Engine) -> Iterator[SqlEngine]:
    """The database as the administrators' pages have it."""
    made = make_engine(engine.database.admin_url, pool_size=2)
    yield made
    made.dispose()


@pytest.fixture
def run(engine: Engine) -> Run:
    env = {
        **engine.env,
        "VOTEPYRAMID_OWNER_DATABASE_URL": engine.database.owner_url,
        "VOTEPYRAMID_CODEC_ORIGIN": CONSOLE,
    }

    def invoke(*words: str, input: str | None = None) -> Result:
        return CliRunner().invoke(main, ["work", *words], env=env, input=input)

    return invoke


def said(result: Result, status: int = 0) -> dict[str, Any]:
    """The one JSON line of a command's standard output."""
    assert result.exit_code == status, (result.output, result.exception)
    document: dict[str, Any] = json.loads(result.stdout)
    return document
