"""Web and worker processes as children of a test: started, killed, read.

env = environment(database, temporal, tmp_path)
worker = start_worker(env, temporal, tmp_path)
web = start_web(env, tmp_path)
httpx2.get(f"{web.url}/health/ready")
worker.kill()                    # kill -9
web.terminate()                  # SIGTERM; the exit status
"""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.support.databases import Database
from votepyramid.stack import children, credentials
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.ports import LOOPBACK, free_port
from votepyramid.stack.program import Program, http_status

INI = Path(__file__).resolve().parents[2] / "development.ini"


def environment(
    database: Database,
    temporal: DevServer,
    folder: Path,
    *,
    owner: bool = False,
    **settings: object,
) -> dict[str, str]:
    """The environment of one stack: fresh keys in `folder`, task queues of its own.

    `settings` are further settings by name (`group_votes=2`). With `owner` the
    owner's database URL is in it too, for operators' commands: never for a web
    process or a worker.
    """
    apart = secrets.token_hex(4)
    ours = {
        "environment": "development",
        "database_url": database.app_url,
        "temporal_address": temporal.address,
        "claim_task_queue": f"claims-{apart}",
        "vote_task_queue": f"votes-{apart}",
        "keys_task_queue": f"keys-{apart}",
        "closing_task_queue": f"closing-{apart}",
        "exporting_task_queue": f"exporting-{apart}",
        "upkeep_task_queue": f"upkeep-{apart}",
        "sandboxed": "true",
        **credentials.make(folder / "secrets"),
        **{name: str(value) for name, value in settings.items()},
    }
    if owner:
        ours["owner_database_url"] = database.owner_url
    clean = children.environment_without("VOTEPYRAMID_")
    return clean | {f"VOTEPYRAMID_{name.upper()}": v for name, v in ours.items()}


class Running(Program):
    """A `votepyramid` process under test."""

    port: int = 0
    host: str = LOOPBACK

    @property
    def url(self) -> str:
        """Where a web process listens."""
        return f"http://{self.host}:{self.port}"

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait(10)

    def terminate(self, seconds: float = 30.0) -> int:
        """SIGTERM; the exit status, negative when a signal ended it."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def log_text(self) -> str:
        """All it has written."""
        return self.log.read_text(errors="replace")

    def wait_for_log(self, text: str, seconds: float = 10.0) -> None:
        """Wait until `text` is in its log; AssertionError with the log otherwise."""
        if not eventually(lambda: text in self.log_text(), seconds):
            raise AssertionError(
                f"no {text!r} in {self.log}:\n{children.tail(self.log, 40)}"
            )


def start_worker(
    env: Mapping[str, str],
    temporal: DevServer,
    folder: Path,
    *,
    name: str = "worker",
    roles: str = "claim cast",
    wait: bool = True,
) -> Running:
    """Start `votepyramid worker`; returns when it polls its task queues.

    `roles` is "claim cast", one of the two, or "keys", "closing" or "exporting": then
    `env` must hold the database URL of the keeper, the closer or the exporter.
    """
    lines = {"cast": "vote"}
    queues = [
        env[f"VOTEPYRAMID_{lines.get(role, role).upper()}_TASK_QUEUE"]
        for role in roles.split()
    ]
    namespace = env.get("VOTEPYRAMID_TEMPORAL_NAMESPACE", "default")
    arguments = [part for role in roles.split() for part in ("--role", role)]
    worker = Running(
        name,
        ["worker", *arguments],
        env=env,
        log=folder / f"{name}.log",
        ready=lambda: all(
            temporal.has_worker(queue, worker.pid, namespace) for queue in queues
        ),
    )
    worker.start(wait=wait)
    return worker


def start_web(
    env: Mapping[str, str],
    folder: Path,
    *,
    name: str = "web",
    roles: str = "claim cast",
    ready_path: str = "/health/live",
    wait: bool = True,
) -> Running:
    """Start `votepyramid serve` on a free port; returns when `ready_path` says 200."""
    port = free_port()
    web = Running(
        name,
        ["serve", str(INI), "--listen", f"{LOOPBACK}:{port}"],
        env={**env, "VOTEPYRAMID_ROLES": roles},
        log=folder / f"{name}.log",
        ready=lambda: http_status(port, ready_path) == 200,
    )
    web.port = port
    web.start(wait=wait)
    return web


def start_admin(
    env: Mapping[str, str],
    database: Database,
    folder: Path,
    *,
    host: str = "localhost",
    wait: bool = True,
    **settings: object,
) -> Running:
    """Start `votepyramid admin` on a free port; returns when it answers.

    Its pages are at a name: browsers give security keys to no address.
    """
    port = free_port()
    ours = {
        "database_url": database.admin_url,
        "admin_origin": f"http://{host}:{port}",
        **settings,
    }
    admin = Running(
        "admin",
        ["admin", "--listen", f"{LOOPBACK}:{port}"],
        env={**env, **{f"VOTEPYRAMID_{k.upper()}": str(v) for k, v in ours.items()}},
        log=folder / "admin.log",
        ready=lambda: http_status(port, "/health/live") == 200,
    )
    admin.port = port
    admin.host = host
    admin.start(wait=wait)
    return admin


@contextmanager
def stopping(*programs: Running) -> Iterator[None]:
    """Whatever happens inside, these do not outlive it."""
    try:
        yield
    finally:
        for program in programs:
            with suppress(ProcessLookupError):
                program.stop()


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """True as soon as `condition` holds; False when it has not within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def gone(pid: int) -> bool:
    """True when no process has this id, or only its exit status is left."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
