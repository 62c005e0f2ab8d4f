"""One small answer over HTTP, bounded in bytes and in time as a whole.

A client's own timeouts begin anew with every byte that comes. Here the clock runs from
looking up the name to the last byte, and what is not there by then is given up.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

SECONDS = 5.0


class FetchError(Exception):
    """There was no answer, or none of that size in that time; in words for the log."""


@dataclass(frozen=True)
class Fetched:
    """Status and body. A redirect is an answer like any other: it is not followed."""

    status: int
    body: bytes


def fetch(
    url: str,
    *,
    limit: int,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
    ssl_context: ssl.SSLContext | None = None,
) -> Fetched:
    """GET the address, or POST the form; at most `limit` bytes. Raises FetchError.

    The error names no address and nothing that was sent.
    """
    asked = _ask(url, limit, form, headers or {}, ssl_context)
    # Closing this loop waits for nobody; asyncio.run would, for a name's resolver.
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(asked, seconds))
    except TimeoutError:
        raise FetchError(f"no answer within {seconds:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        # The class alone: messages may hold addresses and credentials.
        raise FetchError(f"fetching: {type(error).__name__}") from None
    finally:
        loop.close()


async def _ask(
    url: str,
    limit: int,
    form: Mapping[str, str] | None,
    headers: Mapping[str, str],
    ssl_context: ssl.SSLContext | None,
) -> Fetched:
    method = "GET" if form is None else "POST"
    # Read as it comes, so that a few bytes cannot unpack to many.
    plain = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
    async with (
        httpx2.AsyncClient(verify=ssl_context or True, timeout=None) as client,
        client.stream(method, url, data=form, headers=plain) as answer,
    ):
        body = b""
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > limit:
                raise FetchError(f"an answer longer than {limit} bytes")
        return Fetched(answer.status_code, body)
