"""Temporal's development server with its web console, as a child of ours."""

from __future__ import annotations

import http.client
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from votepyramid.stack.children import Child, environment_without, wait_until
from votepyramid.stack.ports import LOOPBACK, free_port
from workflows.attributes import SEARCH_ATTRIBUTES

_START_SECONDS = 60.0
# It takes ports for its inner parts out of those of outgoing connections, a moment
# before it listens there, and we ask for its own ones a moment before it starts: on a
# busy machine somebody else may have them by then.
_TRIES = 3


class DevServer(Child):
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
        console: bool = True,
        port: int | None = None,
        ui_port: int | None = None,
        namespaces: Sequence[str] = (),
        extra: Sequence[str] = (),
    ) -> None:
        super().__init__(log or folder / "temporal.log", record)
        name = "-".join(["temporal", ".".join(map(str, version))]).rstrip("-")
        self.database = folder / f"{name}.db"
        self.port = port
        self.ui_port = ui_port
        # Once started, clients know the ports: a later start must get the same ones.
        self._settled = False
        self.namespaces = ("default", *namespaces)
        self._cli = cli
        self._extra = [*extra] if console else ["--headless", *extra]
        self._http_port = 0

    def start(self) -> None:
        """Start and wait until every namespace has the search attributes.

        Raises:
            StackError: the server ended or was not ready in a minute.
        """
        self.database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        wanted = self.port, self.ui_port
        # Without what would point the command line at another server.
        env = environment_without("TEMPORAL_", "VOTEPYRAMID_")
        for _ in range(_TRIES):
            if not self._settled:
                self.port, self.ui_port = map(free_port, wanted)
            self._http_port = free_port()
            self._spawn(self._command(), env=env)
            wait_until(self._decided, seconds=_START_SECONDS)
            if self.alive():
                self._settled = True
                break
        self._wait_ready("Temporal", self.ready, 0.0)

    def _decided(self) -> bool:
        return self.ready() or not self.alive()

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
