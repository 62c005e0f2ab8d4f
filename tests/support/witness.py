"""A small reference witness: C2SP tlog-witness over HTTP, with a state file.

with witnessing(folder, "w1") as witness:
    witness.find = keys.get                    # the key of an origin
    witness.line()                             # for a policy
    witness.behave = witness.lie               # or any function of the handler
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.protocol.support import flip
from votepyramid.protocol import merkle, notes
from votepyramid.protocol.checkpoint import Checkpoint, open_checkpoint
from votepyramid.protocol.cosignature import WitnessKey, cosign
from votepyramid.protocol.encoding import ProtocolError, b64, unb64
from votepyramid.protocol.notes import VerifierKey
from votepyramid.protocol.witness import (
    MAX_REQUEST_BYTES,
    SIZE_CONTENT_TYPE,
    AddCheckpoint,
    size_body,
)

Answer = tuple[int, bytes, str]
PLAIN = "text/plain; charset=utf-8"


class _Handler(BaseHTTPRequestHandler):
    server: Witness

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(min(size, MAX_REQUEST_BYTES + 1))
        if self.path != "/prefix/add-checkpoint":
            status, answer, kind = 404, b"", PLAIN
        else:
            status, answer, kind = self.server.behave(body)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


class Witness(ThreadingHTTPServer):
    """Cosigns what is consistent with all it has cosigned before."""

    daemon_threads = True

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.signer = notes.generate(f"witness.example/{name}")
        self.key = WitnessKey.of(self.signer.verifier)
        self.behave: Callable[[bytes], Answer] = self.add_checkpoint
        # Everything that was asked of an origin, as (old size, new size, status).
        self.asked: dict[str, list[tuple[int, int, int]]] = {}
        self._state = folder / f"{name}.json"
        # The key of an origin; None for a log it does not know.
        self.find: Callable[[str], VerifierKey | None] = lambda _: None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    def line(self) -> str:
        """Of a policy file."""
        url = f"http://127.0.0.1:{self.server_address[1]}/prefix"
        return f"witness {self.name} {self.key.text()} {url}\n"

    def add_checkpoint(self, body: bytes) -> Answer:
        """As the specification has it, check by check."""
        try:
            asked = AddCheckpoint.parse(body)
            new = asked.claimed()
        except ProtocolError:
            return 400, b"", PLAIN
        # One at a time: what was checked must still hold when it is written.
        with self._lock:
            answer = self._judge(asked, new)
            said = (asked.old, new.size, answer[0])
            self.asked.setdefault(new.origin, []).append(said)
        return answer

    def _judge(self, asked: AddCheckpoint, new: Checkpoint) -> Answer:
        key = self.find(new.origin)
        if key is None:
            return 404, b"", PLAIN
        try:
            open_checkpoint(asked.note, new.origin, key)
        except ProtocolError:
            return 403, b"", PLAIN
        if asked.old > new.size:
            return 400, b"", PLAIN
        size, root = self.seen(new.origin)
        if asked.old != size or (size == new.size and root != new.root):
            return 409, size_body(size), SIZE_CONTENT_TYPE
        try:
            merkle.verify_consistency(size, new.size, asked.proof, root, new.root)
        except ProtocolError:
            return 422, b"", PLAIN
        self._remember(new)
        line = cosign(asked.note, self.signer, int(time.time()))
        return 200, line.encode(), PLAIN

    def seen(self, origin: str) -> tuple[int, bytes]:
        """Size and root of what was cosigned last for a log."""
        size, root = self._read().get(origin, (0, b64(merkle.EMPTY_ROOT)))
        return size, unb64(root, merkle.HASH_BYTES)

    def _read(self) -> dict[str, Any]:
        if not self._state.exists():
            return {}
        state: dict[str, Any] = json.loads(self._state.read_text())
        return state

    def _remember(self, new: Checkpoint) -> None:
        state = {**self._read(), new.origin: (new.size, b64(new.root))}
        draft = self._state.with_suffix(".new")
        draft.write_text(json.dumps(state))
        os.replace(draft, self._state)

    def lie(self, body: bytes) -> Answer:
        """Sign something else than what was asked."""
        status, answer, kind = self.add_checkpoint(body)
        if status != 200:
            return status, answer, kind
        _, (line,) = notes.split("x\n\n" + answer.decode())
        wrong = line._replace(signature=flip(line.signature, 20))
        return 200, notes.signature_line(wrong).encode(), kind

    def claim_more(self, _: bytes) -> Answer:
        """Say that a far larger log was cosigned."""
        return 409, size_body(10**9), SIZE_CONTENT_TYPE

    def flood(self, _: bytes) -> Answer:
        return 200, b"\n" * 10**7, PLAIN

    def fail(self, _: bytes) -> Answer:
        return 500, b"", PLAIN

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are part of the tests."""


@contextmanager
def witnessing(folder: Path, *names: str) -> Iterator[list[Witness]]:
    """Witnesses of these names, each with a key of its own."""
    made = [Witness(folder, name) for name in names]
    try:
        yield made
    finally:
        for witness in made:
            witness.end()


def policy(folder: Path, k: int, witnesses: list[Witness]) -> Path:
    """A policy file: any `k` of these witnesses."""
    names = " ".join(one.name for one in witnesses)
    lines = "".join(one.line() for one in witnesses)
    path = folder / f"policy-{k}"
    path.write_text(f"{lines}group witnesses {k} {names}\nquorum witnesses\n")
    return path
