"""What is wrong below the application: bytes that are no request we take."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults import BALLOTS_LOCKED, holding
from tests.support.processes import start_web
from tests.support.voting import PROBLEM, Door, at_once
from tests.web.conftest import Site
from votepyramid.stack.ports import LOOPBACK
from votepyramid.web.server import MAX_BODY, MAX_HEADERS
from votepyramid.web.tweens import HEADERS

POST = b"POST /api/elections/demo/vote/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
JSON = POST + b"Content-Type: application/json\r\n"


@dataclass(frozen=True)
class Raw:
    """An answer as it came over the wire; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def document(self) -> Any:
        assert self.headers["content-type"] == PROBLEM, self
        assert int(self.headers["content-length"]) == len(self.body)
        return json.loads(self.body)


def send(site: Site, *parts: bytes) -> Raw:
    """Send bytes and read until the server closes."""
    received = b""
    with socket.create_connection((LOOPBACK, site.engine.web.port), 10) as wire:
        try:
            for part in parts:
                wire.sendall(part)
            while chunk := wire.recv(65536):
                received += chunk
        except ConnectionError:
            # It answered and closed while we were still sending.
            pass
    while received.startswith(b"HTTP/1.1 100"):
        received = received.split(b"\r\n\r\n", 1)[1]
    head, body = received.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    return Raw(
        int(first.split()[1]), {name.lower(): value for name, value in pairs}, body
    )


NO_REQUESTS = {
    "nonsense": b"NONSENSE\r\n\r\n",
    "no method": b" /health/live HTTP/1.1\r\n\r\n",
    "small method": b"get /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "raw bytes in the address": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "no colon": b"GET /health/live HTTP/1.1\r\nHost x\r\n\r\n",
    "space before the colon": b"GET /health/live HTTP/1.1\r\nHost : x\r\n\r\n",
    "NUL in a header": b"GET /health/live HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
    "negative length": JSON + b"Content-Length: -1\r\n\r\n{}",
    "two lengths": JSON + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "signed length": JSON + b"Content-Length: +2\r\n\r\n{}",
    "unknown coding": JSON + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "bad chunk": JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", NO_REQUESTS)
def test_what_is_no_request(site: Site, name: str) -> None:
    answer = send(site, NO_REQUESTS[name])
    document = answer.document()
    assert (answer.status, document["code"]) == (400, "malformed")
    assert document["errors"][0]["problem"].startswith("not an HTTP request")
    for header, value in HEADERS.items():
        assert answer.headers[header.lower()] == value
    assert len(answer.headers["x-request-id"]) == 16
    assert "server" not in answer.headers


def test_headers_over_the_limit(site: Site) -> None:
    start = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    fits = send(site, start + b"A: " + b"a" * (MAX_HEADERS - 200) + b"\r\n\r\n")
    assert fits.status == 200
    many = b"".join(b"A%d: a\r\n" % number for number in range(MAX_HEADERS // 4))
    for headers in (b"A: " + b"a" * MAX_HEADERS + b"\r\n", many):
        answer = send(site, start + headers + b"\r\n")
        document = answer.document()
        assert (answer.status, document["code"]) == (413, "too_large")
        assert document["limit"] == MAX_HEADERS


def test_a_body_that_is_announced_too_large_is_not_read(site: Site) -> None:
    announced = b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1)
    answer = send(site, JSON + announced)
    document = answer.document()
    assert (answer.status, document["code"]) == (413, "too_large")
    assert document["limit"] == MAX_BODY


def test_a_body_that_grows_too_large(site: Site) -> None:
    chunks = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = send(
        site, JSON + b"Transfer-Encoding: chunked\r\n\r\n", *[chunks] * 32, b"0\r\n\r\n"
    )
    document = answer.document()
    assert (answer.status, document["code"]) == (413, "too_large")


def test_chunks_are_put_together(site: Site) -> None:
    answer = send(
        site,
        JSON + b"Transfer-Encoding: chunked\r\n\r\n",
        b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
    )
    fields = {error["field"] for error in answer.document()["errors"]}
    assert "payload" in fields


def test_the_host_header_is_not_believed(site: Site) -> None:
    for host in (b"evil.example", b"a b/<x>", b""):
        answer = send(
            site,
            b"GET /nothing HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % host,
        )
        assert answer.document()["code"] == "not_found"
        assert b"evil" not in answer.body
    spoofed = (
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n"
        b"Forwarded: host=evil.example\r\n\r\n"
    )
    assert send(site, spoofed).status == 200


def test_a_client_may_wait_to_be_asked_for_the_body(site: Site) -> None:
    answer = send(
        site, JSON + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n", b"{}"
    )
    assert answer.document()["code"] == "malformed"


def test_an_answer_does_not_wait_for_the_next_request(site: Site) -> None:
    """Two requests in one piece, and the second is held up."""
    body = json.dumps(site.door.ballot("v290").body()).encode()
    cast = JSON + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection((LOOPBACK, site.engine.web.port), 10) as wire:
        with holding(site.election.database.owner_url, BALLOTS_LOCKED):
            wire.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" + cast)
            first = wire.recv(65536)
            assert first.startswith(b"HTTP/1.1 200") and first.count(b"HTTP/1.1") == 1
        assert wire.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_log_that_cannot_be_written_keeps_no_receipt_back(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "mute.log").symlink_to("/dev/full")
    web = start_web(site.engine.env, tmp_path, name="mute")
    try:
        door = Door(web.url, site.election)
        assert door.cast(door.ballot("v291")).status_code == 200
    finally:
        assert web.terminate() == 0


def test_nothing_is_sent_twice_while_a_body_is_asked_for(site: Site) -> None:
    """A request, and another one's head that waits for leave to send its body."""
    expecting = JSON.replace(b"Connection: close\r\n", b"")
    packet = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" + expecting
    packet += b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"

    def many(_: int) -> None:
        with socket.create_connection((LOOPBACK, site.engine.web.port), 10) as wire:
            for _ in range(100):
                wire.sendall(packet)
                received = b""
                while b"100 Continue\r\n\r\n" not in received:
                    received += wire.recv(65536)
                wire.sendall(b"{}")
                while not received.endswith(b"}"):
                    received += wire.recv(65536)
                answers = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
                assert sorted(answers) == [b"100", b"200", b"400"], received

    # At once: what is to be seen is a race between waitress's loop and its threads.
    at_once(many, range(16))


def test_a_closed_standard_error_is_nobody_elses(tmp_path: Path) -> None:
    """No file that is opened later may get its number, and the log lines."""
    script = (
        "import sys, structlog; from votepyramid.processes import configure_process;"
        "from votepyramid.settings import Settings;"
        "configure_process(Settings(), 'web'); file = open(sys.argv[1], 'w');"
        "structlog.get_logger().info('lost')"
    )
    path = tmp_path / "file"
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(["sh", "-c", '"$@" 2>&-', "sh", *command], check=False)
    assert done.returncode == 0 and path.read_text() == ""
