"""Asking for pages over HTTP as somebody who is signed in, and how long each took."""

from __future__ import annotations

import http.client
import random
import socket
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlencode

from bench.pages.addresses import PASSPHRASE, PERSON, Address
from votepyramid.replay.timing import nearest_rank
from votepyramid.stack.errors import StackError

_DEAD_S, _AGAIN_S = 60.0, 0.2
_FORM = "application/x-www-form-urlencoded"


class Visitor:
    """One connection of a browser, kept open; not safe to share among threads."""

    def __init__(self, host: str, port: int) -> None:
        self._origin = f"http://{host}:{port}"
        self._http = http.client.HTTPConnection(host, port, timeout=_DEAD_S)
        self._http.connect()
        self._http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._cookie = ""

    def sign_in(self) -> None:
        """As PERSON."""
        form = {"name": PERSON, "passphrase": PASSPHRASE, "next": ""}
        answer, _ = self._ask(Address("/sign-in", "", form=form))
        cookie = answer.getheader("Set-Cookie")
        if answer.status != 303 or cookie is None:
            raise StackError(f"signing in was answered with {answer.status}")
        self._cookie = cookie.partition(";")[0]

    def ask(self, page: Address) -> float:
        """Milliseconds until all of it was there. Raises StackError where the page has
        not what it is about: it would be there early."""
        began = time.perf_counter()
        answer, text = self._ask(page)
        took = 1000 * (time.perf_counter() - began)
        if answer.status != page.status:
            raise StackError(f"{page.title} was answered with {answer.status}")
        if page.shows not in text:
            raise StackError(f"{page.title} does not show {page.shows!r}")
        return took

    def wait_for(self, page: Address) -> None:
        """Ask until what takes long is there, which is kept from then on."""
        until = time.monotonic() + _DEAD_S
        while page.shows not in self._ask(page)[1] and time.monotonic() < until:
            time.sleep(_AGAIN_S)
        self.ask(page)

    def _ask(self, page: Address) -> tuple[http.client.HTTPResponse, str]:
        headers = {"Cookie": self._cookie} if self._cookie else {}
        if page.form is None:
            self._http.request("GET", page.path, headers=headers)
        else:
            headers |= {"Origin": self._origin, "Content-Type": _FORM}
            self._http.request("POST", page.path, urlencode(page.form), headers)
        answer = self._http.getresponse()
        return answer, answer.read().decode()

    def close(self) -> None:
        self._http.close()


@dataclass
class Times:
    """Milliseconds of each page by its title."""

    by_page: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def percentile(self, title: str, percent: float) -> float:
        return nearest_rank(self.by_page[title], percent)


def ask_seldom(
    visitor: Visitor, pages: Sequence[Address], rounds: int, pause_s: float
) -> Times:
    """One page after the other. A round begins `pause_s` after the last one did, so
    that what the pages keep for a moment has grown old."""
    times = Times()
    for _ in range(rounds):
        again = time.monotonic() + pause_s
        for page in random.sample(pages, len(pages)):
            times.by_page[page.title].append(visitor.ask(page))
        time.sleep(max(0.0, again - time.monotonic()))
    return times


def ask_together(
    visitors: Sequence[Visitor], pages: Sequence[Address], rounds: int
) -> Times:
    """Everybody at once and without a pause, each in an order of their own."""
    times = Times()

    def run(visitor: Visitor) -> None:
        for _ in range(rounds):
            for page in random.sample(pages, len(pages)):
                times.by_page[page.title].append(visitor.ask(page))

    with ThreadPoolExecutor(len(visitors)) as everybody:
        list(everybody.map(run, visitors))
    return times
