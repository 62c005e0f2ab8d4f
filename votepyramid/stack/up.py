"""`votepyramid up`: the whole stack on one machine, from nothing to a verified receipt.

Order: database, migrations, Temporal, worker, web, demo election, one ballot. State
stays in `var/`, so that the next start goes on where this one ended.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from votepyramid.client.errors import ClientError
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.errors import Refused
from votepyramid.processes import log_to_file
from votepyramid.settings import Settings
from votepyramid.stack import children, credentials, demo, migrations, ports, temporal
from votepyramid.stack.administration import first_setup_link
from votepyramid.stack.console import WebConsole
from votepyramid.stack.demo import DemoBallot
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.errors import StackError
from votepyramid.stack.layout import ROOT, Layout
from votepyramid.stack.postgres import EmbeddedPostgres
from votepyramid.stack.program import Program, http_status
from votepyramid.stack.progress import Progress
from votepyramid.stack.supervisor import Supervisor, stopping_on_signals
from votepyramid.stack.telling import CODEC_SERVER, Telling

WEB_PORT = 6543
TEMPORAL_PORT = 7233
CONSOLE_PORT = 8233
CODEC_PORT = 8234
ADMIN_PORT = 8235
POSTGRES_PORT = 54329
INI = ROOT / "development.ini"
# To be looked at; an election waits longer, for voters' sake.
LOG_SECONDS = "2"
_READY_SECONDS = 120.0
# Those with a database role of their own.
_APART = ("sequencer", "admin", "closer", "exporter")
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
        # By the part that has it for its own; empty where there is none.
        self._database_urls = dict.fromkeys(_APART, "")
        self._web_port = 0
        # None where Temporal is not ours: its console is wherever it is.
        self._console_url: str | None = None
        self._codec_url: str | None = None
        # The administrators' pages, and the first administrator's one-time link.
        self._admin_url: str | None = None
        self._setup_link: str | None = None

    def run(self) -> None:
        """Bring everything up, stay until told to stop, stop everything.

        Raises:
            StackError: a part is missing or did not start; what had started is
                stopped again.
        """
        self._layout.make()
        with self._layout.locked():
            log_to_file(self._layout.logs / "up.log")
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
        self._closer()
        self._exporter()
        self._codec_server()
        self._admin()
        ballot = self._demo() if self._options.demo else None
        settings = self._settings | {
            "owner_database_url": self._owner_url,
            "admin_origin": self._admin_url or "",
            "url": self.url,
        }
        telling = Telling(
            self._layout,
            self._progress,
            environment=self._environment(settings),
            places=self._places(),
            ballot=ballot,
        )
        telling.write_environment()
        telling.banner(watch=self._options.watch)

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
            for part in _APART:
                url = os.environ.get(f"VOTEPYRAMID_{part.upper()}_DATABASE_URL", "")
                self._database_urls[part] = url
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
        for part in _APART:
            self._database_urls[part] = getattr(server, f"{part}_url")

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
        console = temporal.find_console()
        self._codec_url = f"http://{ports.LOOPBACK}:{ports.free_port(CODEC_PORT)}"
        # Its own console shows payloads opened once the browser is told how; the
        # codec server's page says how.
        endpoint = ["--ui-codec-endpoint", self._codec_url]
        server = DevServer(
            cli,
            self._layout.temporal,
            version=temporal.server_version(cli),
            log=self._layout.logs / "temporal.log",
            record=self._layout.record("temporal"),
            port=TEMPORAL_PORT,
            ui_port=CONSOLE_PORT if console is None else None,
            console=console is None,
            extra=endpoint if console is None else [],
        )
        with self._progress.step("Temporal") as step:
            self._supervisor.start("temporal", server)
            step.detail = f"on {server.address}"
        self._settings["temporal_address"] = server.address
        self._console_url = server.ui_url
        if console is not None:
            self._console(console, server.address, self._codec_url)

    def _console(self, program: Path, address: str, codec_url: str) -> None:
        console = WebConsole(
            program,
            self._layout.temporal,
            temporal_address=address,
            codec_endpoint=codec_url,
            port=CONSOLE_PORT,
            log=self._layout.logs / "console.log",
            record=self._layout.record("console"),
        )
        with self._progress.step("Temporal's console") as step:
            self._supervisor.start("console", console)
            step.detail = f"on {console.url}"
        self._console_url = console.url

    def _codec_server(self) -> None:
        """For this stack's console; another one has a codec server of its own."""
        if self._codec_url is None or self._console_url is None:
            return
        address = self._codec_url.removeprefix("http://")
        port = int(address.rpartition(":")[2])
        server = self._program(
            "codec-server",
            ["codec-server", "--listen", address],
            {"codec_origin": self._console_url},
            ready=lambda: http_status(port, "/health/live") == 200,
        )
        self._supervisor.start("codec-server", server)

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
        if not self._database_urls["sequencer"]:
            self._progress.problem(
                "No sequencer: set VOTEPYRAMID_SEQUENCER_DATABASE_URL too, and votes "
                "come into the public log."
            )
            return
        settings = {
            "database_url": self._database_urls["sequencer"],
            "checkpoint_folder": str(self._layout.checkpoints),
            "log_seconds": LOG_SECONDS,
        }
        sequencer = self._program(
            "sequencer", ["log", "sequence"], settings, ready=lambda: True
        )
        self._supervisor.start("sequencer", sequencer)

    def _admin(self) -> None:
        if not self._database_urls["admin"]:
            self._progress.problem(
                "No administrators' pages: set VOTEPYRAMID_ADMIN_DATABASE_URL too."
            )
            return
        port = ports.free_port(ADMIN_PORT)
        # Browsers give security keys to pages at a name alone.
        self._admin_url = f"http://localhost:{port}"
        settings = {
            "database_url": self._database_urls["admin"],
            "exports_folder": str(self._layout.exports),
            "admin_origin": self._admin_url,
            "codec_origin": self._console_url or "",
            "log_seconds": LOG_SECONDS,
        }
        admin = self._program(
            "admin",
            ["admin", "--listen", f"{ports.LOOPBACK}:{port}"],
            settings,
            ready=lambda: http_status(port, "/health/live") == 200,
        )
        with self._progress.step("Administrators' pages") as step:
            self._supervisor.start("admin", admin)
            step.detail = f"on {self._admin_url}"
        self._setup_link = first_setup_link(self._owner_url, self._admin_url)

    def _closer(self) -> None:
        self._worker_alone("closer", "closing", "to end elections")

    def _exporter(self) -> None:
        folder = {"exports_folder": str(self._layout.exports)}
        self._worker_alone("exporter", "exporting", "to export elections", **folder)

    def _worker_alone(self, name: str, role: str, purpose: str, **more: str) -> None:
        """One of a single role, which has a database role of its own."""
        url = self._database_urls[name]
        if not url:
            setting = f"VOTEPYRAMID_{name.upper()}_DATABASE_URL"
            self._progress.problem(f"No {name}: set {setting} too, {purpose}.")
            return
        words, settings = ["worker", "--role", role], {"database_url": url, **more}
        worker = self._program(name, words, settings, ready=lambda: True)
        self._supervisor.start(name, worker)

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

    def _places(self) -> dict[str, str | None]:
        """What can be opened in a browser."""
        return {
            "Voting API": self._election_url,
            "Receipt log": f"{self._election_url}log/checkpoint",
            "Health": f"{self.url}/health/ready",
            "Administration": self._admin_url,
            "Set it up": self._setup_link,
            "Temporal console": self._console_url,
            CODEC_SERVER: self._codec_url,
        }
