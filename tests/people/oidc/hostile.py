"""A provider that answers whatever a test wants, and keeps what it was sent."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from tests.eligibility.tokens import Provider as Keys

DISCOVERY = "/.well-known/openid-configuration"


@dataclass
class Hostile:
    """`said` is what each path answers: a status and a body, None for never ending."""

    issuer: str = ""
    keys: Keys = field(default_factory=Keys)
    said: dict[str, tuple[int, bytes] | None] = field(default_factory=dict)
    sent: list[tuple[dict[str, str], dict[str, list[str]]]] = field(
        default_factory=list
    )

    def document(self, **changes: Any) -> bytes:
        """Its discovery document; a change to None takes a member away."""
        made = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            **changes,
        }
        return json.dumps({k: v for k, v in made.items() if v is not None}).encode()

    def behave(self) -> None:
        """Answer as one ought to, until told otherwise; there are no tokens yet."""
        self.sent.clear()
        self.said = {
            DISCOVERY: (200, self.document()),
            "/jwks": (200, json.dumps(self.keys.jwks()).encode()),
            "/token": (400, b"{}"),
        }

    def hand_out(self, token: Any, **more: Any) -> None:
        """Answer any code with this as the ID token."""
        body = {"access_token": "a", "token_type": "Bearer", "id_token": token, **more}
        self.said["/token"] = 200, json.dumps(body).encode()


@contextmanager
def running() -> Iterator[Hostile]:
    """One on a free port of loopback."""
    hostile = Hostile()
    over = threading.Event()
    handler = type("Handler", (_Handler,), {"hostile": hostile, "over": over})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hostile.issuer = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield hostile
    over.set()
    server.shutdown()
    server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    hostile: Hostile
    over: threading.Event

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.hostile.sent.append((dict(self.headers), parse_qs(body)))
        self._answer()

    def _answer(self) -> None:
        said = self.hostile.said[self.path]
        status, body = said or (200, b"")
        self.send_response(status)
        self.send_header("Location", f"{self.hostile.issuer}/jwks")
        if said is not None:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)
            while said is None and not self.over.wait(0.02):
                self.wfile.write(b" ")

    def log_message(self, format: str, *args: Any) -> None:
        pass
