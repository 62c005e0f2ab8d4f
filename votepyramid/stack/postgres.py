"""A Postgres server as a child of ours, on loopback, with passwords."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg

from votepyramid.stack import binaries, children, roles
from votepyramid.stack.accounts import WAY_OUT, postgres_account, private_folder
from votepyramid.stack.binaries import PostgresBinaries
from votepyramid.stack.children import Child
from votepyramid.stack.errors import StackError
from votepyramid.stack.ports import LOOPBACK, free_port

_START_SECONDS = 60.0


class EmbeddedPostgres(Child):
    """The PostgreSQL of the package, run as a child process.

    `data_dir` becomes the server's own folder (as root: of an unprivileged account),
    with the cluster in `data/`; `log` is ours, or beside it. `secrets_file` keeps
    the generated passwords (0600) and belongs to us. `settings` are server settings
    by name. Everything survives a restart; after a kill of this process the server
    stops by itself, and `start` stops one that did not.
    """

    # What the documentation of a server's signals calls fast (open transactions are
    # rolled back), immediate, and neither.
    stop_signals = (
        (signal.SIGINT, 30.0),
        (signal.SIGQUIT, 5.0),
        (signal.SIGKILL, 5.0),
    )

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        secrets_file: Path | None = None,
        log: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.home = data_dir.absolute()
        super().__init__(log or self.home / "postgres.log")
        self.cluster = self.home / "data"
        self.port = port
        # Once started, clients know the port: a later start must get the same one.
        self._settled = False
        self._secrets_file = secrets_file or data_dir.with_name("postgres.json")
        self._settings = dict(settings or {})
        self._account = postgres_account()
        self._passwords: dict[str, str] = {}

    def find_binaries(self, major: int | None) -> PostgresBinaries:
        """The programs to run; `major` is that of an existing cluster."""
        return binaries.embedded(self._account, major)

    def start(self) -> None:
        """Bring the server up, with roles and database; takes about a second.

        Raises:
            StackError: no programs, a folder closed to the server's account, a
                server that did not come up (the message ends with its log).
        """
        private_folder(self.home, self._account)
        self.stop_orphan()
        programs = self.find_binaries(self._major())
        self._passwords = self._load_passwords()
        if not (self.cluster / "PG_VERSION").exists():
            self._initdb(programs)
        if not self._settled:
            self.port, self._settled = free_port(self.port), True
        self._spawn(
            [programs.postgres, *self._arguments()],
            env=_environment(),
            cwd="/",
            account=self._account,
            death_signal=signal.SIGINT,
        )
        self._wait_ready("Postgres", self._accepts, _START_SECONDS)
        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as db:
            roles.prepare(db, self._passwords)

    def url(self, user: str, database: str = roles.DATABASE) -> str:
        """libpq URL on loopback TCP, password included."""
        password = self._passwords[user]
        return f"postgresql://{user}:{password}@{LOOPBACK}:{self.port}/{database}"

    @property
    def owner_url(self) -> str:
        """For migrations."""
        return self.url(roles.OWNER)

    @property
    def app_url(self) -> str:
        """For the application."""
        return self.url(roles.APPLICATION)

    @property
    def sequencer_url(self) -> str:
        """For the sequencer."""
        return self.url(roles.SEQUENCER)

    @property
    def keeper_url(self) -> str:
        """For the workers that rewrap keys."""
        return self.url(roles.KEEPER)

    @property
    def closer_url(self) -> str:
        """For the workers that close elections."""
        return self.url(roles.CLOSER)

    @property
    def exporter_url(self) -> str:
        """For the workers that export elections."""
        return self.url(roles.EXPORTER)

    @property
    def admin_url(self) -> str:
        """For the administrators' pages."""
        return self.url(roles.ADMINISTRATORS)

    def stop_orphan(self) -> None:
        """Stop a server that still runs on our cluster, after a killed supervisor.

        Ours is the process that the cluster's own pid file names *and* that runs
        inside this cluster; a stranger with that process id is left alone.
        """
        pid_file = self.cluster / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        if self._runs_here(pid):
            children.stop(psutil.Process(pid), self.stop_signals)
        # The server's other processes end by themselves; wait for them, because
        # a new server refuses to start beside them.
        children.wait_until(lambda: not self._any_process_here(), seconds=30)
        # Postgres removes this file itself, except when killed; then a stranger
        # with the same process id would keep it from starting.
        pid_file.unlink(missing_ok=True)

    def _runs_here(self, pid: int) -> bool:
        with suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            return (
                process.status() != psutil.STATUS_ZOMBIE
                and "postgres" in process.name()
                and Path(process.cwd()) == self.cluster.resolve()
            )
        return False

    def _any_process_here(self) -> bool:
        return any(self._runs_here(pid) for pid in psutil.pids())

    def _major(self) -> int | None:
        try:
            return int((self.cluster / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None

    def _load_passwords(self) -> dict[str, str]:
        if self._secrets_file.exists():
            known: dict[str, str] = json.loads(self._secrets_file.read_text())
            return known if set(roles.ALL) <= set(known) else self._save(known)
        if (self.cluster / "PG_VERSION").exists():
            raise StackError(
                f"{self._secrets_file} is gone and {self.cluster} cannot be opened "
                "without it: put it back, or throw the data away (`make reset`)."
            )
        return self._save({})

    def _save(self, known: dict[str, str]) -> dict[str, str]:
        """Make the passwords that are missing and keep all of them."""
        made = {user: secrets.token_hex(24) for user in roles.ALL} | known
        self._secrets_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        half = self._secrets_file.with_suffix(".new")
        half.unlink(missing_ok=True)
        with os.fdopen(
            os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
        ) as file:
            json.dump(made, file)
        half.replace(self._secrets_file)
        return made

    def _initdb(self, programs: PostgresBinaries) -> None:
        # Beside its place and then moved there: killed halfway, it leaves nothing
        # that looks like a cluster.
        half = self.home / "data.new"
        shutil.rmtree(half, ignore_errors=True)
        password_file = self.home / "initdb.password"
        password_file.write_text(self._passwords[roles.SUPERUSER])
        password_file.chmod(0o600)
        if self._account is not None:
            os.chown(password_file, self._account.uid, self._account.gid)
        command: list[str | Path] = [
            programs.initdb,
            "--pgdata",
            half,
            "--username",
            roles.SUPERUSER,
            "--pwfile",
            password_file,
            "--auth",
            "scram-sha-256",
            "--encoding",
            "UTF8",
            "--no-locale",
        ]
        try:
            process = children.spawn(
                command,
                log=self.log,
                env=_environment(),
                cwd="/",
                account=self._account,
            )
            if process.wait() != 0:
                raise StackError(
                    f"initdb failed; {WAY_OUT}, or mend this:\n"
                    f"{children.tail(self.log)}"
                )
        finally:
            password_file.unlink()
        half.rename(self.cluster)

    def _arguments(self) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            # No socket file: its path may be too long, and TCP is enough.
            "unix_socket_directories": "",
            "max_connections": "200",
            "log_timezone": "UTC",
            **self._settings,
        }
        return ["-D", str(self.cluster)] + [
            part
            for name, value in settings.items()
            for part in ("-c", f"{name}={value}")
        ]

    def _accepts(self) -> bool:
        try:
            with psycopg.connect(
                self.url(roles.SUPERUSER, "postgres"), connect_timeout=2
            ):
                return True
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise StackError(
                    f"The passwords in {self._secrets_file} are not those of "
                    f"{self.cluster}."
                ) from error
            return False


class DebianPostgres(EmbeddedPostgres):
    """The machine's full PostgreSQL; Temporal's schema needs its `btree_gin`."""

    def find_binaries(self, major: int | None) -> PostgresBinaries:
        found = binaries.debian(major)
        if found is None:
            raise StackError(
                "No full PostgreSQL on this machine: install the package `postgresql`."
            )
        return found


def _environment() -> dict[str, str]:
    """Ours without what would steer a Postgres (PGDATA, PGPORT, LC_ALL, …)."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "LC_", "VOTEPYRAMID_"))
    } | {"LC_ALL": "C", "TZ": "UTC"}
