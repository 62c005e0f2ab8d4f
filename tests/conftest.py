"""Real servers for the whole suite: one Postgres and one Temporal a session."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support import databases, needs, programs, promtool
from tests.support.databases import Database
from tests.support.engines import Engines
from votepyramid.stack import temporal as temporal_programs
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres

# Nothing in a test's database has to survive a power cut.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


_GETTING = pytest.StashKey[subprocess.Popen[bytes]]()
_FOUND = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FOUND] = set()
    databases.know_keys()
    config.addinivalue_line("markers", "needs(part): skip where `part` is missing")
    # How long an example takes says how busy the machine is.
    hypothesis.settings.register_profile("unhurried", deadline=None)
    hypothesis.settings.load_profile("unhurried")


# Begun as soon as the programs are there, so that none is left over at the end.
_LONGEST = ("admin_ui", "stack", "replay", "leaks")


class _ByPackage(LoadScopeScheduling):
    """Keeps a package's tests in one process: they share an engine.

    Not by xdist's marks of groups, which it writes into what pytest 9.2 does not read.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0].rpartition("/")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByPackage:
    # Packages stand in the order in which they are wanted.
    config.option.loadscopereorder = False
    return _ByPackage(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that need no program come first: it may still have to be built."""
    packages: dict[str, list[pytest.Item]] = {}
    for item in items:
        packages.setdefault(item.path.parent.name, []).append(item)
    items[:] = [
        item
        for name in sorted(packages, key=lambda name: _turn(name, packages[name]))
        for item in packages[name]
    ]


def _turn(name: str, items: list[pytest.Item]) -> tuple[bool, bool]:
    """What a package is sorted by, where the order is else that of names."""
    return bool(programs.wanted_by(items)), name not in _LONGEST


def pytest_collection_finish(session: pytest.Session) -> None:
    """Before the first test, say which cannot run here, and begin to get programs."""
    if session.config.option.collectonly:
        return
    say = _say(session.config)
    for part in needs.missing(set().union(*map(needs.wanted_by, session.items))):
        tests = sum(part in needs.wanted_by(item) for item in session.items)
        say(
            f"missing: {needs.PARTS[part].install}; {tests} tests "
            f"{'fail' if needs.in_ci() else 'are skipped'} without it"
        )
    wanted = programs.wanted_by(session.items)
    if wanted and _is_first(session.config):
        session.config.stash[_GETTING] = programs.begin(wanted)


def pytest_sessionfinish(session: pytest.Session) -> None:
    getting = session.config.stash.get(_GETTING, None)
    if getting is not None:
        getting.terminate()
        getting.wait()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Have what the test needs before its time runs: a build outlasts any timeout."""
    for name in programs.wanted_by([item]):
        if name not in item.config.stash[_FOUND]:
            programs.FIND[name](_say(item.config))
            item.config.stash[_FOUND].add(name)
    return (yield)


def _is_first(config: pytest.Config) -> bool:
    """Whether this process is the only one, or the first of several."""
    worker = getattr(config, "workerinput", {}).get("workerid", "gw0")
    return bool(worker == "gw0") and not config.getoption("numprocesses", None)


def _say(config: pytest.Config) -> Callable[[str], None]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        write: Callable[[str], None] = reporter.write_line
        return write
    # One of several processes, whose output goes nowhere; they would all say the same.
    first = _is_first(config)
    return lambda line: print(line, file=sys.stderr, flush=True) if first else None


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
def promtool_program() -> Path:
    """Prometheus's `promtool`. Only for tests that need("promtool")."""
    return promtool.find()


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
        # A run is deleted only once its end is behind a mark moved every 30 seconds.
        extra=[
            "--dynamic-config-value",
            'history.transferProcessorUpdateAckInterval="1s"',
        ],
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def engines(
    postgres: EmbeddedPostgres,
    template: str,
    temporal: DevServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Engines:
    """Of the session's servers: `with engines.running("votes", webs=2) as engine`."""
    return Engines(postgres, temporal, tmp_path_factory)
