"""An answer is bounded in bytes, and in time from the first step to the last byte."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs

import pytest

from votepyramid.jose.fetching import FetchError, fetch

LIMIT = 1000


@contextmanager
def speaking(speak: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A server that treats each connection so; its address."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            speak(connection, over)

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    over.set()
    listener.close()


def _silent(_connection: socket.socket, over: threading.Event) -> None:
    over.wait(60)


def _byte_by_byte(first: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def drip(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(first)
        while not over.wait(0.05):
            connection.sendall(b"a")

    return drip


OPENING = b"HTTP/1.1 200 OK\r\n"
SLOW = {
    "says nothing": _silent,
    "its head never ends": _byte_by_byte(OPENING + b"X: "),
    "its body never ends": _byte_by_byte(OPENING + b"\r\n"),
}


@pytest.mark.parametrize("how", SLOW)
def test_a_slow_answer_is_given_up_as_a_whole(how: str) -> None:
    with (
        speaking(SLOW[how]) as url,
        pytest.raises(FetchError, match="no answer within"),
    ):
        fetch(url, limit=LIMIT, seconds=0.3)


def test_nobody_listens_and_what_is_no_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/", "http://[", "https://nowhere.invalid/"):
        with pytest.raises(FetchError) as caught:
            fetch(url, limit=LIMIT)
        assert "nowhere" not in str(caught.value)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(200, b"x" * int(self.path[1:]))

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        known = self.headers["Authorization"] == "Basic eA=="
        well = known and parse_qs(sent.decode()) == {"code": ["a&b"]}
        self._answer(200 if well else 400, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_answer_has_its_size_at_most(url: str) -> None:
    assert fetch(f"{url}/1000", limit=LIMIT).body == b"x" * 1000
    for size in (1001, 50_000_000):
        with pytest.raises(FetchError, match="longer than 1000 bytes"):
            fetch(f"{url}/{size}", limit=LIMIT)


def test_a_form_is_posted(url: str) -> None:
    head = {"Authorization": "Basic eA=="}
    assert fetch(url, limit=9, form={"code": "a&b"}, headers=head).status == 200
    assert fetch(url, limit=9, form={"code": "a"}, headers=head).status == 400
