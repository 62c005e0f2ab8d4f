"""Requests to the engine and answers from it, as plain values.

`steps.py` yields these; a transport carries them out. So the rules of a conversation
are written once, for the blocking client and for the one that loads many voters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from votepyramid.client.errors import BadAddress, CredentialError, UnexpectedAnswer
from votepyramid.protocol.encoding import ProtocolError, strict_json
from votepyramid.protocol.manifest import MAX_SIGNED_MANIFEST_BYTES

MAX_ANSWER = 64 * 1024
MAX_MANIFEST = MAX_SIGNED_MANIFEST_BYTES
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_JWT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2}")


@dataclass(frozen=True)
class Request:
    """One HTTP request; `path` is below the server's base address."""

    method: str
    path: str
    body: bytes = b""
    # Holds the voter's credential or token: never shown.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    limit: int = MAX_ANSWER


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Fault:
    """No answer: the connection failed, broke or took too long."""

    problem: str


@dataclass(frozen=True)
class Pause:
    """Wait before the next request; `reason` is for the voter to read."""

    seconds: float
    reason: str


def check_base_url(url: str, *, allow_http: bool = False) -> str:
    """The server's address without a slash at its end. Raises BadAddress.

    Plain HTTP shows the token to everyone on the way, so it is for this machine
    alone unless the caller insists.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise BadAddress("the server's address is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadAddress(
            "the server's address must start with https:// and name a host",
            "Give it as in https://vote.example.org",
        )
    if parts.query or parts.fragment or parts.username is not None:
        raise BadAddress(
            "the server's address has a query, a fragment or a user name",
            "Give the address alone, as in https://vote.example.org",
        )
    if parts.scheme == "http" and not (allow_http or parts.hostname in _LOOPBACK):
        raise BadAddress(
            "plain http:// would show your voting token to the network",
            "Use https://",
        )
    return url.rstrip("/")


def get(path: str, limit: int = MAX_ANSWER) -> Request:
    return Request("GET", path, limit=limit)


def post_json(
    path: str, value: Any, headers: Mapping[str, str] | None = None
) -> Request:
    body = json.dumps(value, separators=(",", ":")).encode()
    return Request(
        "POST", path, body, {"content-type": "application/json", **(headers or {})}
    )


def bearer_header(jwt: str) -> dict[str, str]:
    """The Authorization header of a compact JWT. Raises CredentialError."""
    token = jwt.strip()
    if not _JWT.fullmatch(token):
        raise CredentialError(
            "the sign-in token is not a compact JWT",
            "Give the token as the identity provider issued it: three parts with dots.",
        )
    return {"authorization": f"Bearer {token}"}


def json_object(answer: Answer, what: str) -> dict[str, Any]:
    """The answer's JSON object. Raises UnexpectedAnswer."""
    try:
        value = strict_json(answer.body, MAX_MANIFEST)
    except ProtocolError:
        value = None
    if not isinstance(value, dict):
        raise UnexpectedAnswer(
            f"{what}: the server answered {answer.status} with no JSON object"
        )
    return value


def problem(answer: Answer) -> dict[str, Any]:
    """The members of a problem document (RFC 9457), or {} when it is none."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/problem+json":
        return {}
    try:
        value = strict_json(answer.body, MAX_ANSWER)
    except ProtocolError:
        return {}
    return value if isinstance(value, dict) else {}
