"""`votepyramid up`: the whole stack on one machine, from nothing to a verified receipt.

Order: database, migrations, Temporal, worker, web, demo election, one ballot. State
stays in `var/`, so that the next start goes on where this one ended.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from sqlalchemy.exc import SQLAlchemyError

from votepyramid.client.errors import ClientError
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.errors import Refused
from votepyramid.settings import Settings
from votepyramid.stack import children, credentials, demo, migrations, ports, temporal
from votepyramid.stack.demo import DemoBallot
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.errors import StackError
from votepyramid.stack.layout import ROOT, Layout
from votepyramid.stack.postgres import EmbeddedPostgres
from votepyramid.stack.program import Program, http_status
from votepyramid.stack.progress import Progress
from votepyramid.stack.supervisor import Supervisor, stopping_on_signals

WEB_PORT = 6543
TEMPORAL_PORT = 7233
CONSOLE_PORT = 8233
POSTGRES_PORT = 54329
INI = ROOT / "development.ini"
_READY_SECONDS = 60.0
_VOTEPYRAMID = ".venv/bin/votepyramid"


@dataclass(frozen=True)
class Options:
    """What a person may ask of `up`."""

    demo: bool = True
    watch: bool = True


class Stack:
    """One stack on one state folder."""

    def __init__(self, layout: Layout, progress: Progress, options: Options) -> None:
        self._layout = layout
        self._progress = progress
        self._options = options
        self._supervisor = Supervisor(layout, progress)
        self._settings = {
            "environment": "development",
            "metrics_dir": str(layout.metrics),
        }
        self._owner_url = ""
        self._sequencer_url = ""
        self._web_port = 0
        # None where Temporal is not ours: its console is wherever it is.
        self._console_url: str | None = None

    def run(self) -> None:
        """Bring everything up, stay until told to stop, stop everything.

        Raises:
            StackError: a part is missing or did not start; what had started is
                stopped again.
        """
        self._layout.make()
        with self._layout.locked():
            # Before any child: may build for minutes, and Ctrl-C then just ends us.
            cli = self._temporal_cli()
            with stopping_on_signals():
                try:
                    self._stop_orphans()
                    self._bring_up(cli)
                    if self._options.watch:
                        self._supervisor.watch()
                except children.Interrupted:
                    pass
                finally:
                    self._layout.environment.unlink(missing_ok=True)
                    self._progress.console.print("")
                    children.stop_asked.set()
                    self._supervisor.stop()

    def _bring_up(self, cli: Path | None) -> None:
        self._database()
        self._settings |= credentials.make(self._layout.secrets)
        self._temporal(cli)
        self._worker()
        self._web()
        self._sequencer()
        ballot = self._demo() if self._options.demo else None
        self._write_environment(ballot)
        self._banner(ballot)

    @property
    def url(self) -> str:
        """Where the web process listens."""
        return f"http://{ports.LOOPBACK}:{self._web_port}"

    @property
    def _election_url(self) -> str:
        return f"{self.url}/api/elections/{demo.ELECTION}/"

    def _stop_orphans(self) -> None:
        for name in self._layout.stop_orphans():
            self._progress.problem(f"Stopped a {name} that a killed stack had left.")

    def _database(self) -> None:
        given = os.environ.get("VOTEPYRAMID_DATABASE_URL")
        if given:
            owner = os.environ.get("VOTEPYRAMID_OWNER_DATABASE_URL")
            if not owner:
                raise StackError(
                    "VOTEPYRAMID_DATABASE_URL is set without "
                    "VOTEPYRAMID_OWNER_DATABASE_URL, whose role migrates: set both "
                    "(see README.md), or neither to use the embedded server."
                )
            self._settings["database_url"], self._owner_url = given, owner
            self._sequencer_url = os.environ.get(
                "VOTEPYRAMID_SEQUENCER_DATABASE_URL", ""
            )
        else:
            self._embedded_database()
        with self._progress.step("Migrations") as step:
            migrations.upgrade(self._owner_url)
            step.detail = f"at {migrations.current(self._owner_url)}"

    def _embedded_database(self) -> None:
        home = self._layout.postgres_home()
        server = EmbeddedPostgres(
            home,
            port=POSTGRES_PORT,
            secrets_file=self._layout.secrets / "postgres.json",
            log=self._layout.logs / "postgres.log",
        )
        with self._progress.step("Postgres") as step:
            self._supervisor.start("postgres", server)
            step.detail = f"on {ports.LOOPBACK}:{server.port}"
        if home.parent != self._layout.var:
            self._progress.problem(
                f"Postgres does not run as root, and {self._layout.var} is closed to "
                f"other users: the database is in {home}. To use a server of your "
                "own instead, set VOTEPYRAMID_DATABASE_URL."
            )
        self._settings["database_url"] = server.app_url
        self._owner_url = server.owner_url
        self._sequencer_url = server.sequencer_url

    def _temporal_cli(self) -> Path | None:
        if os.environ.get("VOTEPYRAMID_TEMPORAL_ADDRESS"):
            return None
        return temporal.find_cli(self._progress.say)

    def _temporal(self, cli: Path | None) -> None:
        if cli is None:
            self._settings["temporal_address"] = os.environ[
                "VOTEPYRAMID_TEMPORAL_ADDRESS"
            ]
            return
        server = DevServer(
            cli,
            self._layout.temporal,
            version=temporal.server_version(cli),
            log=self._layout.logs / "temporal.log",
            record=self._layout.record("temporal"),
            port=TEMPORAL_PORT,
            ui_port=CONSOLE_PORT,
        )
        with self._progress.step("Temporal") as step:
            self._supervisor.start("temporal", server)
            step.detail = f"on {server.address}"
        self._settings["temporal_address"] = server.address
        self._console_url = server.ui_url

    def _worker(self) -> None:
        # Whether it polls is what the web process's readiness tells, below.
        worker = self._program("worker", ["worker"], ready=lambda: True)
        self._supervisor.start("worker", worker)

    def _web(self) -> None:
        self._web_port = ports.free_port(WEB_PORT)
        web = self._program(
            "web",
            ["serve", str(INI), "--listen", f"{ports.LOOPBACK}:{self._web_port}"],
            ready=lambda: http_status(self._web_port, "/health/live") == 200,
        )
        with self._progress.step("Worker and web") as step:
            self._supervisor.start("web", web)
            if not children.wait_until(
                lambda: http_status(self._web_port, "/health/ready") == 200,
                seconds=_READY_SECONDS,
                alive=web.alive,
                pause=0.2,
            ):
                raise StackError(
                    f"The stack is not ready; {self.url}/health/ready names the part. "
                    f"The worker's last words:\n"
                    f"{children.tail(self._layout.logs / 'worker.log')}"
                )
            step.detail = f"on {self.url}"

    def _sequencer(self) -> None:
        if not self._sequencer_url:
            self._progress.problem(
                "No sequencer: set VOTEPYRAMID_SEQUENCER_DATABASE_URL too, and votes "
                "come into the public log."
            )
            return
        settings = {
            "database_url": self._sequencer_url,
            "checkpoint_folder": str(self._layout.checkpoints),
            # To be looked at; an election waits longer, for voters' sake.
            "log_seconds": "2",
        }
        sequencer = self._program(
            "sequencer", ["log", "sequence"], settings, ready=lambda: True
        )
        self._supervisor.start("sequencer", sequencer)

    def _program(
        self,
        name: str,
        arguments: list[str],
        settings: Mapping[str, str] | None = None,
        **how: object,
    ) -> Program:
        return Program(
            name,
            arguments,
            env=self._environment({**self._settings, **(settings or {})}),
            log=self._layout.logs / f"{name}.log",
            record=self._layout.record(name),
            cwd=ROOT,
            **how,  # type: ignore[arg-type]
        )

    def _environment(self, settings: dict[str, str]) -> dict[str, str]:
        """This process's, with `settings`; never the owner's URL unless given."""
        ours = {f"VOTEPYRAMID_{name.upper()}": v for name, v in settings.items()}
        kept = dict(os.environ)
        kept.pop("VOTEPYRAMID_OWNER_DATABASE_URL", None)
        return kept | ours

    def _demo(self) -> DemoBallot | None:
        """A demo that fails is told, and the stack stays up to look into it."""
        settings = Settings(
            environment="development",
            owner_database_url=self._owner_url,
            kek_file=self._settings["kek_file"],
            jwt_jwks=self._settings["jwt_jwks"],
            jwt_audience=self._settings["jwt_audience"],
        )
        try:
            with self._progress.step("Demo election") as step:
                view = demo.load(settings)
                step.detail = f'"{view.title}" is {view.status}'
            with self._progress.step("Demo ballot") as step:
                file = self._layout.demo / "receipt.json"
                ballot = demo.cast(settings, self.url, view, file)
                how = "cast now" if ballot.cast_now else "cast before, still there"
                step.detail = f"{how}, receipt verified"
            return ballot
        except (CeremonyError, ClientError, Refused, SQLAlchemyError) as error:
            self._progress.problem(f"The demo ballot was not cast: {error}")
            return None

    def _write_environment(self, ballot: DemoBallot | None) -> None:
        """For other commands in another terminal: `source var/run/environment`."""
        settings = {
            **self._settings,
            "owner_database_url": self._owner_url,
            "url": self.url,
        }
        if ballot is not None:
            settings |= {"election": demo.ELECTION, "authority": ballot.authority}
        lines = [
            f"export {name}={shlex.quote(value)}\n"
            for name, value in self._environment(settings).items()
            if name.startswith("VOTEPYRAMID_")
        ]
        # Whole or not at all: its being there says that the stack is up.
        half = self._layout.environment.with_suffix(".part")
        half.touch(mode=0o600)
        half.write_text("".join(lines))
        half.replace(self._layout.environment)

    def _banner(self, ballot: DemoBallot | None) -> None:
        rows: dict[str, str | None] = {}
        if ballot is not None:
            rows["Receipt"] = ballot.receipt_hash
        if self._options.watch:
            rows |= {
                "Voting API": self._election_url,
                "Receipt log": f"{self._election_url}log/checkpoint",
                "Health": f"{self.url}/health/ready",
                "Temporal console": self._console_url,
            }
        rows["Logs"] = str(self._layout.logs)
        show = self._progress.console.print
        show("")
        for name, value in rows.items():
            if value:
                show(f"  {name:<18} {escape(value)}")
        if self._options.watch:
            self._invite(ballot)

    def _invite(self, ballot: DemoBallot | None) -> None:
        """What can be typed while the stack is up."""
        show = self._progress.console.print
        show("\n  In another terminal, with this stack's settings and as its operator:")
        commands = [f"source {_short(self._layout.environment)}"]
        if ballot is not None:
            # The development issuer signs anyone in: there are no passwords.
            sign_in = f"{_VOTEPYRAMID} voter token {demo.VOTERS[1]}"
            commands += [
                f"VOTEPYRAMID_JWT=$({sign_in}) {_VOTEPYRAMID} vote --out my.json",
                f"{_VOTEPYRAMID} verify {_short(ballot.file)}",
                f"{_VOTEPYRAMID} election show {demo.ELECTION}",
            ]
        for command in commands:
            show(f"    {escape(command)}")
        show("\n  Ctrl-C stops everything; `make run` goes on with the same state.")


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
