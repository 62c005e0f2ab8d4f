"""Temporal's development server with its web console, as a child of ours."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from votepyramid.stack import children
from votepyramid.stack.errors import StackError
from votepyramid.stack.ports import LOOPBACK, free_port
from workflows.messages import SEARCH_ATTRIBUTES

_START_SECONDS = 60.0


class DevServer:
    """`temporal server start-dev`: SQLite in `folder`, one shard, loopback only.

    Histories survive a restart with the same program; the database file bears the
    server's version, because the development server does not migrate its schema.
    """

    def __init__(
        self,
        cli: Path,
        folder: Path,
        *,
        version: Sequence[int] = (),
        log: Path | None = None,
        record: Path | None = None,
        port: int | None = None,
        ui_port: int | None = None,
        namespaces: Sequence[str] = (),
        extra: Sequence[str] = (),
    ) -> None:
        name = "-".join(["temporal", ".".join(map(str, version))]).rstrip("-")
        self.database = folder / f"{name}.db"
        self.log = log or folder / "temporal.log"
        self.port = port
        self.ui_port = ui_port
        # Once started, clients know the ports: a later start must get the same ones.
        self._settled = False
        self.namespaces = ("default", *namespaces)
        self._cli = cli
        self._extra = list(extra)
        self._record = record
        self._http_port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until every namespace has the search attributes.

        Raises:
            StackError: the server ended or was not ready in a minute.
        """
        self.database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._settled:
            self.port = free_port(self.port)
            self.ui_port = free_port(self.ui_port)
            self._settled = True
        self._http_port = free_port()
        self._process = children.spawn(
            self._command(), log=self.log, env=_environment(), record=self._record
        )
        if not children.wait_until(
            self.ready, seconds=_START_SECONDS, alive=self.alive
        ):
            self.stop()
            raise StackError(f"Temporal did not start:\n{children.tail(self.log)}")

    def stop(self) -> None:
        """Ask it to end; its histories are on disk."""
        if self._process is not None:
            children.stop(self._process)
            self._process = None
            if self._record is not None:
                self._record.unlink(missing_ok=True)

    def alive(self) -> bool:
        """True while our child runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def address(self) -> str:
        """Host and port for SDK clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def ui_url(self) -> str:
        """The web console."""
        return f"http://{LOOPBACK}:{self.ui_port}"

    def ready(self) -> bool:
        """True when clients may come: asked of the server's own HTTP door."""
        return all(self._registered(namespace) for namespace in self.namespaces)

    def has_worker(
        self, task_queue: str, pid: int | None, namespace: str = "default"
    ) -> bool:
        """True when process `pid` has polled `task_queue` for workflow tasks.

        The server remembers a poller for minutes after its end, so the process is
        told by the number in the identity it gave.
        """
        found = self._get(f"/api/v1/namespaces/{namespace}/task-queues/{task_queue}")
        return any(
            str(pid) in re.split(r"\D+", poller.get("identity", ""))
            for poller in found.get("pollers", [])
        )

    def _registered(self, namespace: str) -> bool:
        found = self._get(f"/cluster/namespaces/{namespace}/search-attributes")
        return set(SEARCH_ATTRIBUTES) <= set(found.get("customAttributes", {}))

    def _get(self, path: str) -> dict[str, Any]:
        door = http.client.HTTPConnection(LOOPBACK, self._http_port, timeout=2)
        try:
            door.request("GET", path)
            answer = door.getresponse()
            found: dict[str, Any] = json.load(answer) if answer.status == 200 else {}
            return found
        except (OSError, ValueError, http.client.HTTPException):
            return {}
        finally:
            door.close()

    def _command(self) -> list[str | os.PathLike[str]]:
        command: list[str | os.PathLike[str]] = [
            *(self._cli, "server", "start-dev", "--ip", LOOPBACK),
            *("--port", str(self.port), "--ui-port", str(self.ui_port)),
            *("--http-port", str(self._http_port), "--db-filename", self.database),
            *("--log-level", "warn", "--log-format", "json"),
        ]
        for name, kind in SEARCH_ATTRIBUTES.items():
            command += ["--search-attribute", f"{name}={kind}"]
        for namespace in self.namespaces[1:]:
            command += ["--namespace", namespace]
        return command + self._extra


def _environment() -> dict[str, str]:
    """Ours without what would point the command line at another server."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TEMPORAL_", "VOTEPYRAMID_"))
    }
