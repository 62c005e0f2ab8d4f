"""Who is asking: a signed JWT (RFC 7519) from the identity provider, as bearer.

A token is signed as `jose.signed` asks, for our issuer and audience, in its time. A
refusal says only that signing in is needed; which check failed goes to the log, without
the token.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import structlog

from votepyramid.eligibility.voter_ids import is_voter_id
from votepyramid.errors import Code, Refused
from votepyramid.jose import signed
from votepyramid.jose.key_sets import KeySource
from votepyramid.jose.signed import InvalidToken
from votepyramid.jose.sources import SourceError
from votepyramid.settings import Settings, SettingsError

DEV_ISSUER = "votepyramid-dev"
# Those of access tokens too: who bears one is asked for nothing else.
_TYPES = ["JWT", "at+jwt", "application/at+jwt"]

T = TypeVar("T")

log = structlog.get_logger(__name__)


class TokenVerifier:
    """Checks the tokens of one identity provider. Threads may share it.

    `whose` names its settings: "jwt" for voters (`jwt_jwks`, `jwt_issuer`,
    `jwt_audience`), "operator" for operators. Raises SettingsError when they cannot
    be used: an unreadable key file, an address that is not https, or the development
    issuer in production.
    """

    def __init__(
        self,
        settings: Settings,
        whose: Literal["jwt", "operator"],
        *,
        source: KeySource | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = settings.require(f"{whose}_issuer")
        self._audience = settings.require(f"{whose}_audience")
        self._clock = clock
        if settings.production and self._issuer == DEV_ISSUER:
            raise SettingsError(
                f"the development issuer {DEV_ISSUER!r} signs anyone in: production "
                f"needs a real {whose}_issuer"
            )
        try:
            self._source = source or KeySource(settings.require(f"{whose}_jwks"))
            if not self._source.remote:
                self._source.refresh()
        except SourceError as error:
            raise SettingsError(f"{whose}_jwks: {error}") from None

    def read(self, token: str, what: Callable[[dict[str, Any]], T]) -> T:
        """What a function finds in a token's verified claims, `sub` being usable.

        The function may raise InvalidToken. Raises Refused(UNAUTHENTICATED), the same
        for every kind of bad token, and Refused(UNAVAILABLE) when the provider's keys
        cannot be had.
        """
        try:
            return what(self._verify(token))
        except InvalidToken as error:
            log.info("bearer_refused", why=str(error))
            raise Refused(Code.UNAUTHENTICATED) from None
        except SourceError as error:
            log.error("bearer_keys_unavailable", why=str(error))
            raise Refused(Code.UNAVAILABLE, retry_after=5) from None

    def _verify(self, token: str) -> dict[str, Any]:
        claims = signed.claims(token, self._source, _TYPES)
        if claims.get("iss") != self._issuer:
            raise InvalidToken("another issuer")
        audience = claims.get("aud")
        if self._audience not in (
            audience if isinstance(audience, list) else [audience]
        ):
            raise InvalidToken("another audience")
        signed.check_times(claims, self._clock())
        if not is_voter_id(claims.get("sub")):
            raise InvalidToken("no usable subject")
        return claims


class JwtVerifier(TokenVerifier):
    """Turns an Authorization header into a voter id."""

    def __init__(self, settings: Settings, **how: Any) -> None:
        super().__init__(settings, "jwt", **how)

    def voter(self, authorization: str | None) -> str:
        """The voter id of an `Authorization: Bearer` header. Raises as `read`."""
        return self.verify(bearer(authorization))

    def verify(self, token: str) -> str:
        """The voter id, `sub`, of a token. Raises as `read`."""
        return self.read(token, lambda claims: str(claims["sub"]))


def bearer(authorization: str | None) -> str:
    """The token of an `Authorization: Bearer` header. Raises Refused."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        raise Refused(Code.UNAUTHENTICATED)
    return token.strip(" ")
