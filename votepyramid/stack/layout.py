"""Where a development stack keeps its state: `var/`, or near it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from votepyramid.stack import children
from votepyramid.stack.accounts import can_enter, postgres_account
from votepyramid.stack.binaries import ROOT_STATE
from votepyramid.stack.children import Account
from votepyramid.stack.errors import StackError

ROOT = Path(__file__).resolve().parents[2]
VAR = ROOT / "var"


class Layout:
    """The folders below one state folder."""

    def __init__(self, var: Path = VAR) -> None:
        self.var = var.absolute()
        self.run = self.var / "run"
        self.logs = self.var / "logs"
        self.secrets = self.var / "secrets"
        self.temporal = self.var / "temporal"
        self.demo = self.var / "demo"
        self.checkpoints = self.var / "checkpoints"
        self.exports = self.var / "exports"
        self.environment = self.run / "environment"
        self.metrics = self.run / "metrics"

    def make(self) -> None:
        """Make the folders, closed to others."""
        # As root the database server is another account's and has to pass through
        # `var/` to its own folder; every folder beside that one stays closed.
        self.var.mkdir(parents=True, exist_ok=True)
        self.var.chmod(0o711 if os.geteuid() == 0 else 0o700)
        ours = (self.run, self.logs, self.secrets, self.temporal, self.demo)
        for folder in (*ours, self.exports):
            folder.mkdir(mode=0o700, exist_ok=True)

    def postgres_home(self, account: Account | None = None) -> Path:
        """The database server's folder: in `var/`, if its account can get there.

        A checkout below a folder closed to it is out of its reach. Then root's state
        folder of the system serves, with a name made from the checkout's path.
        """
        account = account or postgres_account()
        if account is None or can_enter(account, self.var):
            return self.var / "postgres"
        return self._outside() / "postgres"

    def _outside(self) -> Path:
        return ROOT_STATE / hashlib.sha256(os.fsencode(self.var)).hexdigest()[:12]

    def remove(self) -> None:
        """Throw all state away."""
        for folder in (self.var, self._outside()):
            if folder.exists():
                shutil.rmtree(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Held while a stack runs here; the kernel lets go of it when we are killed.

        Raises:
            StackError: another process holds it.
        """
        with open(self.run / "lock", "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise StackError(
                    f"A stack already runs on {self.var} (process "
                    f"{lock.read().strip() or 'unknown'}): stop it there with Ctrl-C."
                ) from None
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    def record(self, name: str) -> Path:
        """Where the process `name` is noted."""
        return self.run / f"{name}.process.json"

    def stop_orphans(self) -> list[str]:
        """Stop what a killed supervisor left running; the names of what was."""
        stopped = []
        for record in sorted(self.run.glob("*.process.json")):
            process = children.recorded(record)
            if process is not None:
                children.stop(process)
                stopped.append(record.name.removesuffix(".process.json"))
            record.unlink()
        # Counters of processes that are gone would be added to the new ones'.
        shutil.rmtree(self.metrics, ignore_errors=True)
        return stopped


def running_environment(var: Path = VAR) -> dict[str, str] | None:
    """The settings (`VOTEPYRAMID_…`, and `VOTEPYRAMID_URL`) of the stack that runs now.

    None when none runs. They hold the owner's database URL: for operators' commands.
    """
    layout = Layout(var)
    if not layout.environment.exists():
        return None
    try:
        with layout.locked():
            return None
    except StackError:
        words = shlex.split(layout.environment.read_text())
        return dict(word.split("=", 1) for word in words if "=" in word)
