"""The blocking transport: httpx2, kept on a short lead.

No redirect is followed, no cookie is kept and no body is read past its bound, so a
hostile or broken server can neither send a voter elsewhere nor fill the memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx2

from votepyramid.client.errors import UnexpectedAnswer
from votepyramid.client.messages import Answer, Fault, Pause, Request
from votepyramid.client.steps import Steps

T = TypeVar("T")
CONNECT_TIMEOUT = 5.0
_HEADERS = {
    "accept": "application/json, application/problem+json",
    # A compressed body would get around the bound on its size.
    "accept-encoding": "identity",
    "user-agent": "votepyramid-client",
}


class Transport:
    """One set of connections to one server; `timeout` bounds a whole exchange."""

    def __init__(self, base_url: str, timeout: float) -> None:
        self._base_url = base_url
        self._timeout = timeout
        self._client = httpx2.Client(
            headers=_HEADERS,
            follow_redirects=False,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
            # A proxy from the environment may carry HTTPS, which it cannot read.
            trust_env=base_url.startswith("https://"),
        )

    def send(self, request: Request) -> Answer | Fault:
        """Carry out one request. Raises UnexpectedAnswer for an oversized body."""
        # What a claim's answer would set must not come along with the ballot.
        self._client.cookies.clear()
        until = time.monotonic() + self._timeout
        try:
            with self._client.stream(
                request.method,
                self._base_url + request.path,
                content=request.body or None,
                headers=dict(request.headers),
            ) as response:
                body = _read(response, request.limit, until)
        except httpx2.TransportError as error:
            return Fault(_describe(error))
        if body is None:
            return Fault("the answer took too long")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, body)

    def close(self) -> None:
        self._client.close()


def _read(response: httpx2.Response, limit: int, until: float) -> bytes | None:
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > limit:
            raise UnexpectedAnswer(f"the server sent more than {limit} bytes")
        # The library's own timeout starts anew with every byte that drips in.
        if time.monotonic() > until:
            return None
    return bytes(body)


def _describe(error: httpx2.TransportError) -> str:
    if isinstance(error, httpx2.ConnectTimeout | httpx2.ConnectError):
        return f"cannot connect ({error})" if str(error) else "cannot connect"
    if isinstance(error, httpx2.TimeoutException):
        return "the server did not answer in time"
    return "the connection broke"


def run(
    steps: Steps[T],
    transport: Transport,
    *,
    on_wait: Callable[[Pause], None] | None = None,
    sleep: Callable[[float], Any] = time.sleep,
) -> T:
    """Carry out a conversation and give its result."""
    reply: Answer | Fault | None = None
    try:
        while True:
            effect = steps.send(reply)
            if isinstance(effect, Pause):
                if on_wait is not None:
                    on_wait(effect)
                sleep(effect.seconds)
                reply = None
            else:
                reply = transport.send(effect)
    except StopIteration as done:
        result: T = done.value
        return result
