"""Real servers for the whole suite: one Postgres and one Temporal a session."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import databases, needs
from tests.support.databases import Database
from votepyramid.stack import temporal as temporal_programs
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres

# Nothing in a test's database has to survive a power cut.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(part): skip where `part` is missing")


def pytest_report_collectionfinish(items: list[pytest.Item]) -> list[str]:
    """Say before the first test which of them cannot run here, and what would help."""
    lines = []
    for part in needs.missing(set().union(*map(needs.wanted_by, items))):
        tests = sum(part in needs.wanted_by(item) for item in items)
        lines.append(
            f"missing: {needs.PARTS[part].install}; {tests} tests "
            f"{'fail' if needs.in_ci() else 'are skipped'} without it"
        )
    return lines


def pytest_collection_finish(session: pytest.Session) -> None:
    """Get the Temporal programs now: a first build outlasts any test's timeout."""
    if session.config.option.collectonly:
        return
    used = {
        name for item in session.items for name in getattr(item, "fixturenames", ())
    }
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    say = reporter.write_line if reporter is not None else print
    if "temporal_cli" in used:
        temporal_programs.find_cli(say)
    if "temporal_programs_on_postgres" in used:
        temporal_programs.find_server(say)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for part in needs.missing(needs.wanted_by(item)):
        said = f"needs {needs.PARTS[part].install}"
        if needs.in_ci():
            pytest.fail(f"{said}, and CI must skip nothing", pytrace=False)
        pytest.skip(said)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A short folder that the servers' accounts can enter.

    Not pytest's own: that one is closed to others, and as root Postgres is another.
    """
    folder = Path(tempfile.mkdtemp(prefix="votepyramid-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The embedded Postgres, with the two roles, running for the session."""
    server = EmbeddedPostgres(server_folder / "postgres", settings=_FAST)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """The name of a migrated database to copy."""
    databases.make_template(postgres)
    return databases.TEMPLATE


@pytest.fixture
def database(postgres: EmbeddedPostgres, template: str) -> Iterator[Database]:
    """A fresh migrated database for one test (about 40 ms)."""
    with databases.fresh(postgres, template) as made:
        yield made


@pytest.fixture(scope="module")
def module_database(postgres: EmbeddedPostgres, template: str) -> Iterator[Database]:
    """A fresh migrated database that the tests of one module share."""
    with databases.fresh(postgres, template) as made:
        yield made


@pytest.fixture(scope="session")
def temporal_cli() -> Path:
    """The `temporal` program."""
    return temporal_programs.find_cli()


@pytest.fixture(scope="session")
def temporal_programs_on_postgres() -> dict[str, Path]:
    """`temporal-server`, `temporal-sql-tool`, `temporal-ui-server` by name."""
    return temporal_programs.find_server()


@pytest.fixture(scope="session")
def temporal(temporal_cli: Path, server_folder: Path) -> Iterator[DevServer]:
    """A Temporal server for the session: `.address`, `.ui_url`, namespace "default".

    Tests keep apart by task queues of their own (see `tests.support.processes`);
    namespaces "alone-1" to "alone-4" are for tests that look at every workflow.
    """
    server = DevServer(
        temporal_cli,
        server_folder / "temporal",
        log=server_folder / "temporal.log",
        namespaces=[f"alone-{number}" for number in range(1, 5)],
    )
    server.start()
    yield server
    server.stop()
