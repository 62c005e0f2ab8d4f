"""A real HTTP server on loopback that follows a script: the network, simulated.

Each request consumes the next step of the script; a step is a function of the
handler. When the script is over, `otherwise` answers. The ballots it signs for are
real ones: `BallotBox` makes the receipts an engine would make.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

from votepyramid.protocol import notes
from votepyramid.protocol.encoding import b64u, unb64u
from votepyramid.protocol.identifiers import (
    ciphertext_hash,
    key_id,
    manifest_hash,
    token_tag,
)
from votepyramid.protocol.leaf import leaf_bytes, receipt_hash
from votepyramid.protocol.manifest import sign_manifest
from votepyramid.protocol.receipt import answer_bytes, sign_receipt
from votepyramid.protocol.suites import X25519

JWT = "aGVhZA.cGF5bG9hZA.c2ln"
TOKEN = UUID("018f2b6e-7c1a-8f00-9000-0123456789ab")


@dataclass
class Seen:
    """One request as it arrived; `port` is the client's end of the connection."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]
    port: int


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        self.body = self.rfile.read(size)
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, self.path, self.body, headers, self.client_address[1])
        with self.server.lock:
            self.server.seen.append(seen)
            script = self.server.script
            step = script.pop(0) if script else self.server.otherwise
        step(self)

    do_GET = do_POST = _serve  # noqa: N815

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


Step = Callable[[Handler], None]


class ScriptedServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, otherwise: Step) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.otherwise = otherwise
        self.script: list[Step] = []
        self.seen: list[Seen] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def requests(self, end: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path.endswith(end)]

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are part of the script."""


@contextmanager
def serving(otherwise: Step) -> Iterator[ScriptedServer]:
    server = ScriptedServer(otherwise)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def drop(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.close()


def cut_short(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(b'{"leaf":')
    drop(handler)


def problem(status: int, code: str, **headers: str) -> Step:
    extras = {"reason": "wrong_precinct"} if code == "not_eligible" else {}
    document = {"title": f"About {code}", "status": status, "code": code, **extras}

    def step(handler: Handler) -> None:
        handler.answer(
            status,
            json.dumps(document).encode(),
            Content_Type="application/problem+json",
            **headers,
        )

    return step


def plain(status: int, body: bytes = b"", **headers: str) -> Step:
    return lambda handler: handler.answer(status, body, **headers)


def pending(handler: Handler, status_url: str = "http://127.0.0.1:9/x") -> None:
    body = {"receipt_hash": "0" * 64, "status": "pending", "status_url": status_url}
    handler.answer(202, json.dumps(body).encode(), Retry_After="1", Location=status_url)


def endless(handler: Handler) -> None:
    """A body that claims to be a terabyte, and goes on until the client leaves."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(2**40))
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65536)


def drip(handler: Handler) -> None:
    """One byte at a time: each is in time, all of them never are."""
    handler.send_response(200)
    handler.send_header("Content-Length", "4000")
    handler.end_headers()
    for _ in range(4000):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


@dataclass
class BallotBox:
    """Signs receipts as the engine does, for whatever is cast; claims give TOKEN."""

    keys: Any = field(default_factory=X25519.generate_private_key)
    authority: notes.SigningKey = field(
        default_factory=lambda: notes.generate("authority.example")
    )
    signer: notes.SigningKey = field(
        default_factory=lambda: notes.generate("box.example")
    )

    def __post_init__(self) -> None:
        self.manifest = {
            "version": 1,
            "id": "demo",
            "title": "A town's election",
            "contests": [
                {
                    "id": "mayor",
                    "title": "Mayor",
                    "ranks": 2,
                    "choices": [
                        {"id": "c1", "name": "Ævar Þór"},
                        {"id": "c2", "name": "李小龍"},
                        {"id": "c3", "name": "Zoë Ó Néill"},
                    ],
                }
            ],
            "styles": [
                {
                    "id": style,
                    "contests": ["mayor"],
                    "precincts": [precinct],
                    "plaintext_length": 128,
                }
                for style, precinct in (("north", "N-1"), ("south", "S-1"))
            ],
            "suite": X25519.id,
            "public_key": b64u(self.keys.public),
            "key_id": key_id(X25519.id, self.keys.public).hex(),
            "receipts": {
                "origin": "box.example/demo",
                "key": self.signer.verifier.text(),
            },
        }
        self.m = manifest_hash(self.manifest)
        self.signed = sign_manifest(self.manifest, self.authority)
        self.vkey = self.authority.verifier.text()
        self.answers: dict[str, bytes] = {}

    def serve(self, handler: Handler) -> None:
        if handler.path.endswith("/manifest/"):
            handler.answer(200, json.dumps(self.signed).encode())
        elif handler.path.endswith("/claim/"):
            handler.answer(200, json.dumps(self.claimed()).encode())
        elif handler.path.endswith("/vote/"):
            handler.answer(200, self.record(handler.body))
        else:
            self.look_up(handler)

    def claimed(self, **changes: Any) -> dict[str, Any]:
        given = {"token": str(TOKEN), "style": "north", "manifest_hash": self.m.hex()}
        return given | changes

    def record(self, body: bytes, signer: notes.SigningKey | None = None) -> bytes:
        vote = json.loads(body)
        payload, bearer = unb64u(vote["payload"]), UUID(vote["token"])
        c = ciphertext_hash(
            vote["suite"], bytes.fromhex(vote["key_id"]), vote["style"], payload
        )
        leaf = leaf_bytes(c, "demo", self.m, token_tag("demo", self.m, bearer))
        note = sign_receipt(signer or self.signer, "box.example/demo", self.m, leaf)
        self.answers[receipt_hash(leaf)] = answer_bytes(leaf, note)
        return self.answers[receipt_hash(leaf)]

    def look_up(self, handler: Handler) -> None:
        answer = self.answers.get(handler.path.split("/")[-2])
        if answer is None:
            problem(404, "receipt_unknown")(handler)
        else:
            handler.answer(200, answer)

    def accept_late(self, handler: Handler) -> None:
        """Record the vote, but answer 202 as when the group is slow."""
        self.record(handler.body)
        pending(handler)
