"""The ID token: who somebody is at the provider (OpenID Connect Core 1.0, 3.1.3.7)."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import Any

from votepyramid.jose import signed
from votepyramid.jose.key_sets import KeySource
from votepyramid.jose.signed import LEEWAY, InvalidToken

# Section 2: at most 255 characters of ASCII.
_SUBJECT = re.compile(r"[\x20-\x7e]{1,255}")
# Access tokens (RFC 9068) and logout tokens say what they are: they are no ID tokens.
_TYPES = ["JWT"]


@dataclass(frozen=True)
class Identity:
    """Who somebody is, at which issuer.

    `since` is how many seconds ago they gave their password there or the like; None
    when the provider does not say.
    """

    issuer: str
    subject: str
    since: float | None


@dataclass(frozen=True)
class Expected:
    """What a token must agree with; it was asked for `asked` seconds ago."""

    issuer: str
    client_id: str
    nonce: str
    asked: float


class NotAfresh(Exception):
    """Whether the person signed in there just now: `told` is whether it was said."""

    def __init__(self, told: bool) -> None:
        super().__init__("signed in before" if told else "no auth_time")
        self.told = told


def read(token: str, source: KeySource, expected: Expected, now: float) -> Identity:
    """Whose token it is. `now` is in Unix seconds.

    Raises InvalidToken, and SourceError when the provider's keys cannot be had.
    """
    claims = signed.claims(token, source, _TYPES)
    if claims.get("iss") != expected.issuer:
        raise InvalidToken("another issuer")
    _check_audience(claims, expected.client_id)
    signed.check_times(claims, now)
    if now - signed.seconds(claims, "iat") > expected.asked + LEEWAY:
        raise InvalidToken("issued before it was asked for")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(
        nonce.encode(), expected.nonce.encode()
    ):
        raise InvalidToken("another nonce")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise InvalidToken("no usable subject")
    return Identity(expected.issuer, subject, _since(claims, now))


def check_afresh(identity: Identity, expected: Expected) -> None:
    """Raises NotAfresh unless they signed in there after we asked for it."""
    if identity.since is None:
        raise NotAfresh(told=False)
    if identity.since > expected.asked + LEEWAY:
        raise NotAfresh(told=True)


def _check_audience(claims: dict[str, Any], client_id: str) -> None:
    """For us and nobody else: no other audience is trusted."""
    if claims.get("aud") not in (client_id, [client_id]):
        raise InvalidToken("another audience")
    if "azp" in claims and claims["azp"] != client_id:
        raise InvalidToken("another authorized party")


def _since(claims: dict[str, Any], now: float) -> float | None:
    if claims.get("auth_time") is None:
        return None
    since = now - signed.seconds(claims, "auth_time")
    if since < -LEEWAY:
        raise InvalidToken("signed in in the future")
    return max(0.0, since)
