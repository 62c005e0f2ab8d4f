"""The load generator for the engine: voters' clients at the public door.

It shares two cores with the servers, so it is as cheap as Python can be: requests
are whole bytes before the clock starts, one thread waits for all sockets, and
answers are put aside and verified after the window.

    python -m bench.http_load SPEC RESULT
"""

from __future__ import annotations

import json
import math
import select
import socket
import sys
import time
from collections import Counter
from pathlib import Path

from bench import cpu
from bench.ballots import Ballots
from bench.election import ID
from bench.rounds import Result, Spec, Window
from votepyramid.protocol.encoding import b64u
from votepyramid.stack.ports import LOOPBACK

# A vote that was not answered with a receipt is sent again after the window, as a
# voter's client would, for this long.
_PATIENCE_S = 60.0
_DEAD_S = 30.0


class LoadFailed(Exception):
    """The engine did not answer as it promises."""


class _Lane:
    """One client: a connection, and the vote it has under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOOPBACK, port), timeout=_DEAD_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = -1
        self.sent = 0.0
        self._buffer = b""

    def send(self, number: int, request: bytes) -> None:
        self.number, self._buffer = number, b""
        self.sent = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> tuple[int, bytes] | None:
        """Status and body once they are complete."""
        data = self.socket.recv(65536)
        if not data:
            raise LoadFailed("the engine closed a connection")
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return None
        at = head.lower().index(b"content-length:") + 15
        length = int(head[at:].split(b"\r\n", 1)[0])
        return (int(head[9:12]), body) if len(body) >= length else None


class _Run:
    """One round, on one thread."""

    def __init__(self, spec: Spec, requests: list[bytes]) -> None:
        self._spec = spec
        self._requests = requests
        self._waiting = iter(range(len(requests)))
        self._poll = select.epoll()
        self._busy: dict[int, _Lane] = {}
        self._before: cpu.Used | None = None
        self._after: cpu.Used | None = None
        # By ballot: status and body.
        self.answers: dict[int, tuple[int, bytes]] = {}

    def run(self) -> None:
        lanes = [_Lane(self._spec.port) for _ in range(self._spec.clients)]
        now = time.perf_counter()
        self.window = Window(self._spec.warm_up, self._spec.seconds, now)
        for lane in lanes:
            self._busy[lane.socket.fileno()] = lane
            self._poll.register(lane.socket, select.EPOLLIN)
            self._next(lane)
        while self._busy:
            events = self._poll.poll(_DEAD_S)
            if not events:
                raise LoadFailed(f"no answer for {_DEAD_S:.0f} s")
            self._sample(time.perf_counter())
            for descriptor, _ in events:
                self._receive(self._busy[descriptor])
        self._sample(math.inf)

    def cpu(self) -> dict[str, float]:
        """CPU seconds by part within the window."""
        assert self._before is not None and self._after is not None
        return cpu.between(self._before, self._after)

    def _receive(self, lane: _Lane) -> None:
        answer = lane.receive()
        if answer is None:
            return
        now = time.perf_counter()
        self.answers[lane.number] = answer
        if answer[0] == 200:
            self.window.answered(lane.sent, now)
        if now < self.window.closes and self._next(lane):
            return
        self.window.ran_out(now)
        self._poll.unregister(lane.socket)
        del self._busy[lane.socket.fileno()]

    def _next(self, lane: _Lane) -> bool:
        number = next(self._waiting, None)
        if number is not None:
            lane.send(number, self._requests[number])
        return number is not None

    def _sample(self, now: float) -> None:
        if self._before is None and now >= self.window.opens:
            self._before = cpu.used(self._spec.parts)
        if self._after is None and now >= self.window.closes:
            self._after = cpu.used(self._spec.parts)


def main(spec_file: Path, result_file: Path) -> None:
    spec = Spec.read(spec_file)
    ballots = Ballots(spec)
    requests = [_request(ballots, number, spec.port) for number in range(len(ballots))]
    run = _Run(spec, requests)
    run.run()
    again = _send_again(_Lane(spec.port), requests, run.answers)
    for number, (_, body) in run.answers.items():
        ballots.verify(number, body)
    window = run.window
    Result(
        window.seconds,
        window.latencies(),
        len(run.answers),
        run.cpu(),
        again,
        window.exhausted,
    ).write(result_file)


def _send_again(
    lane: _Lane, requests: list[bytes], answers: dict[int, tuple[int, bytes]]
) -> dict[str, int]:
    """Bring every vote that was begun to its receipt; how many, by first answer."""
    open_votes = [n for n, (status, _) in answers.items() if status != 200]
    counted = Counter(str(answers[number][0]) for number in open_votes)
    deadline = time.monotonic() + _PATIENCE_S
    for number in open_votes:
        while answers[number][0] != 200:
            if time.monotonic() > deadline:
                raise LoadFailed(f"no receipt after {_PATIENCE_S:.0f} s")
            time.sleep(0.2)
            lane.send(number, requests[number])
            while (answer := lane.receive()) is None:
                pass
            answers[number] = answer
    return dict(counted)


def _request(ballots: Ballots, number: int, port: int) -> bytes:
    sealed = ballots.sealed[number]
    body = json.dumps(
        {
            "token": str(ballots.bearers[number]),
            "payload": b64u(sealed.payload),
            "style": sealed.style,
            "suite": sealed.suite,
            "key_id": sealed.kid.hex(),
            "manifest_hash": sealed.m.hex(),
        }
    ).encode()
    head = (
        f"POST /api/elections/{ID}/vote/ HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
