"""Finding the Temporal programs: given, installed, cached, downloaded, or built.

The cache is the user's, one folder per set of pinned modules, so that a checkout
thrown away costs no second build and a changed pin never runs an old program.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from votepyramid.stack import gobuild, sdk_download
from votepyramid.stack.caches import users_cache
from votepyramid.stack.errors import StackError

BINARY_SETTING = "VOTEPYRAMID_TEMPORAL_BIN"
MODULES = Path(__file__).resolve().parents[2] / "deploy" / "temporal"
CLI = "temporal"
# What production and the benchmark run instead of the command line's own server.
CONSOLE = "temporal-ui-server"
SERVER_PROGRAMS = ("temporal-server", "temporal-sql-tool", CONSOLE)
# Older servers lack what the admin UI shows of a workflow in trouble.
OLDEST_SERVER = (1, 31)

Say = Callable[[str], None]


def cache_folder() -> Path:
    """The cache of the pinned modules, in the user's cache directory."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((MODULES / name).read_bytes())
    return users_cache() / "temporal" / digest.hexdigest()[:12]


def find_cli(say: Say = lambda line: None) -> Path:
    """The `temporal` program, made if need be; `say` gets a line of progress.

    Raises:
        StackError: none is to be had; the message says what would help.
    """
    given = os.environ.get(BINARY_SETTING)
    if given:
        _require_recent(Path(given))
        return Path(given)
    installed = shutil.which(CLI)
    if installed is not None:
        if server_version(Path(installed)) >= OLDEST_SERVER:
            return Path(installed)
        say(f"{installed} is too old and is not used.")
    cached = cache_folder() / CLI
    if cached.exists():
        return cached
    with _locked(say):
        if not cached.exists() and not sdk_download.download(cached, say):
            # The console costs a second more: most of it is in the command line.
            wanted = {CLI: cached, CONSOLE: cached.with_name(CONSOLE)}
            gobuild.build(MODULES, wanted, say)
    return cached


def find_console() -> Path | None:
    """The console as a program of its own, where one was built."""
    program = cache_folder() / CONSOLE
    return program if program.exists() else None


def find_server(say: Say = lambda line: None) -> dict[str, Path]:
    """Paths of the server, SQL tool and UI server by name, built if need be.

    Raises:
        StackError: they are not cached and cannot be built here.
    """
    folder = cache_folder()
    wanted = {name: folder / name for name in SERVER_PROGRAMS}
    if all(path.exists() for path in wanted.values()):
        return wanted
    with _locked(say):
        missing = {name: path for name, path in wanted.items() if not path.exists()}
        if missing:
            gobuild.build(MODULES, missing, say)
    return wanted


def server_version(cli: Path) -> tuple[int, ...]:
    """The version of the server inside a `temporal` program; () when it has none."""
    try:
        done = subprocess.run(
            [cli, "--version"], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.search(r"Server (\d+)\.(\d+)\.(\d+)", done.stdout)
    return tuple(int(part) for part in found.groups()) if found else ()


def _require_recent(cli: Path) -> None:
    version = server_version(cli)
    if version < OLDEST_SERVER:
        has = ".".join(map(str, version)) if version else "none"
        raise StackError(
            f"{BINARY_SETTING}={cli} must be a Temporal command line with a server "
            f"from {'.'.join(map(str, OLDEST_SERVER))} on; it has {has}."
        )


@contextmanager
def _locked(say: Say) -> Iterator[None]:
    """One at a time: the second comer waits and then finds the first one's work."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another process is getting Temporal; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
