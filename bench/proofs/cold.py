"""The first proof of a log of which nothing is in memory, by the service and over HTTP.

Before each, Postgres is started anew and the system's cache emptied. Code, connection
and the database's catalogue are warm, by proofs out of the log of another election.
"""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import election, votes
from bench.place import Place
from votepyramid.db import make_engine
from votepyramid.receipts import log
from votepyramid.stack import children
from votepyramid.stack.errors import StackError
from votepyramid.stack.ports import LOOPBACK, free_port

Prove = Callable[[str, str], None]
_AGAIN_S = 30.0
# A pool's first connection is not the only one that is warmed.
_WARM = 3


def cold_proofs(
    place: Place, number: int, empty: bool
) -> tuple[list[float], list[float], bool]:
    """Milliseconds of so many proofs each, by the service and over HTTP.

    And whether the system's cache was emptied too, where `empty` asks for that.
    """
    with place.owner() as db:
        other = votes.another_log(db, election.ID)
        rows = db.execute(
            "SELECT receipt_hash FROM vote_submissions ORDER BY random() LIMIT %s",
            (2 * number,),
        ).fetchall()
    place.engine.dispose()
    chosen = [receipt_hash for (receipt_hash,) in rows]
    cold = _Cold(place, other, empty)
    direct = [cold.direct(one) for one in chosen[:number]]
    with _web(place) as port:
        over_http = [cold.over_http(port, one) for one in chosen[number:]]
    return direct, over_http, cold.emptied


class _Cold:
    """Proofs, one after each start of Postgres; `other` is a proof to warm up with."""

    def __init__(self, place: Place, other: str, empty: bool) -> None:
        self._place, self._other = place, other
        self.emptied = empty

    def direct(self, receipt_hash: str) -> float:
        self._restart()
        engine = make_engine(self._place.stack.postgres.app_url)

        def prove(e: str, wanted: str) -> None:
            log.proof(engine, e, wanted)

        milliseconds = self._timed(prove, receipt_hash)
        engine.dispose()
        return milliseconds

    def over_http(self, port: int, receipt_hash: str) -> float:
        self._restart()
        door = _Door(port)
        # The web process's connections ended with the database.
        if not children.wait_until(
            lambda: door.status(votes.ANOTHER, self._other) == 200, seconds=_AGAIN_S
        ):
            raise StackError("the web process does not come back to a new Postgres")
        milliseconds = self._timed(door.prove, receipt_hash)
        door.close()
        return milliseconds

    def _timed(self, prove: Prove, receipt_hash: str) -> float:
        for _ in range(_WARM):
            prove(votes.ANOTHER, self._other)
        began = time.monotonic()
        prove(election.ID, receipt_hash)
        return 1000 * (time.monotonic() - began)

    def _restart(self) -> None:
        postgres = self._place.stack.postgres
        postgres.stop()
        self.emptied = self.emptied and _drop_caches()
        postgres.start()


class _Door:
    """One connection to the web process, kept open."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection(LOOPBACK, port, timeout=_AGAIN_S)
        self._http.connect()
        self._http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def status(self, e: str, receipt_hash: str) -> int:
        self._http.request("GET", f"/api/elections/{e}/receipt/{receipt_hash}/proof")
        answer = self._http.getresponse()
        answer.read()
        return answer.status

    def prove(self, e: str, receipt_hash: str) -> None:
        status = self.status(e, receipt_hash)
        if status != 200:
            raise StackError(f"a proof was answered with {status}")

    def close(self) -> None:
        self._http.close()


@contextmanager
def _web(place: Place) -> Iterator[int]:
    port = free_port()
    arguments = ["serve", "development.ini", "--listen", f"{LOOPBACK}:{port}"]
    web = place.stack.program("web", arguments, {}, f"{port}/health/live")
    web.start()
    try:
        yield port
    finally:
        web.stop()


def _drop_caches() -> bool:
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True
