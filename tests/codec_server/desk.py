"""A codec server beside an engine, and whoever asks it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.support import consoles
from tests.support.elections import MadeElection
from tests.support.engines import Engine
from tests.support.faults import Console
from tests.support.processes import Running
from tests.support.voting import Ballot
from votepyramid.eligibility.dev_issuer import DevIssuer
from votepyramid.engine.codec import ENCODING
from votepyramid.settings import Settings
from votepyramid.stack.ports import LOOPBACK, free_port
from votepyramid.stack.program import http_status

ORIGIN = "http://console.example:8233"
NAMESPACE = "default"
SEALED = base64.b64encode(ENCODING).decode()


@dataclass
class Desk:
    """A codec server beside an engine that has work behind it and some stuck."""

    engine: Engine
    election: MadeElection
    server: Running
    ballots: list[Ballot]
    console: Console
    http: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx2.Client(base_url=self.server.url, timeout=30)

    def token(self, *roles: str, name: str = "olga", **changes: Any) -> str:
        env = {
            key.removeprefix("VOTEPYRAMID_").lower(): value
            for key, value in self.engine.env.items()
            if key.startswith("VOTEPYRAMID_")
        }
        names = ("jwt_jwks", "jwt_audience", "operator_audience")
        values = {one: env[one] for one in names} | changes
        settings = Settings(environment="development", **values)
        return DevIssuer.of(settings).operator_token(name, roles or ("operator",))

    def ask(
        self, document: Any, path: str = "/decode", **headers: str | None
    ) -> httpx2.Response:
        """As the console's page does, some headers changed; None takes one away."""
        usual: dict[str, str | None] = {
            "Origin": ORIGIN,
            "X-Namespace": NAMESPACE,
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.token()}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        content = document if isinstance(document, bytes) else json.dumps(document)
        return self.http.post(
            path,
            content=content,
            params={"preserveStorageRefs": "true"},
            headers={name: value for name, value in usual.items() if value},
        )

    def decode(self, payloads: list[Any], **headers: str | None) -> list[Any]:
        answer = self.ask({"payloads": payloads}, **headers)
        assert answer.status_code == 200, answer.text
        found: list[Any] = answer.json()["payloads"]
        assert len(found) == len(payloads)
        return found

    def group(self) -> str:
        """The workflow that recorded the first ballot."""
        return str(
            self.election.count(
                "SELECT group_id FROM vote_groups WHERE receipt_hash = %s",
                self.ballots[0].receipt_hash,
            )
        )

    def events(self) -> list[Any]:
        return consoles.history(self.engine.temporal, NAMESPACE, self.group())

    def sealed(self) -> list[Any]:
        """The input of that workflow, as Temporal has it."""
        started = self.events()[0]["workflowExecutionStartedEventAttributes"]
        found: list[Any] = started["input"]["payloads"]
        return found

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Log lines of that kind."""
        found = [json.loads(line) for line in self.server.log_text().splitlines()]
        return [one for one in found if one.get("event") == event]


def start(env: dict[str, str], folder: Path, name: str, **settings: str) -> Running:
    port = free_port()
    server = Running(
        name,
        ["codec-server", "--listen", f"{LOOPBACK}:{port}"],
        env={**env, "VOTEPYRAMID_CODEC_ORIGIN": ORIGIN, **settings},
        log=folder / f"{name}.log",
        ready=lambda: http_status(port, "/health/live") == 200,
    )
    server.port = port
    server.start()
    return server


def data(payload: Any) -> Any:
    """The JSON of an opened payload."""
    return json.loads(base64.b64decode(payload["data"]))
