"""Who is asking: a signed JWT (RFC 7519) from the identity provider, as bearer.

What a token must be is decided here, not by its header: EdDSA over Ed25519 or RS256,
with a key id of the provider's set, for our issuer and audience, in its time, its
JSON without repeated members. A refusal says only that signing in is needed; which
check failed goes to the log, without the token.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import structlog
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from votepyramid.eligibility.key_sets import KeySetError, KeySource
from votepyramid.eligibility.voter_ids import is_voter_id
from votepyramid.errors import Code, Refused
from votepyramid.protocol.encoding import ProtocolError, strict_json, unb64u
from votepyramid.settings import Settings, SettingsError

DEV_ISSUER = "votepyramid-dev"
LEEWAY = 30
MAX_TOKEN_LENGTH = 8 * 1024
MAX_HEADER_LENGTH = 1024
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TYPES = ["JWT", "at+jwt", "application/at+jwt"]

log = structlog.get_logger(__name__)


def _registry() -> JWSRegistry:
    """The algorithms we take. "EdDSA" is the older name that providers still send.

    Both names mean Ed25519 here; the library's own entry for the older one would
    also take Ed448, and warns at every token.
    """
    registry = JWSRegistry(algorithms=["EdDSA", "Ed25519", "RS256"])
    known = JWSRegistry.algorithms
    registry.algorithms = {
        "EdDSA": known["Ed25519"],
        "Ed25519": known["Ed25519"],
        "RS256": known["RS256"],
    }
    registry.max_header_length = MAX_HEADER_LENGTH
    return registry


REGISTRY = _registry()


class _Invalid(Exception):
    """Why a token is not accepted, for the log alone."""


class JwtVerifier:
    """Turns an Authorization header into a voter id. Threads may share it.

    Raises SettingsError when the settings cannot be used: an unreadable key file,
    an address that is not https, or the development issuer in production.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        source: KeySource | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = settings.require("jwt_issuer")
        self._audience = settings.require("jwt_audience")
        self._clock = clock
        if settings.production and self._issuer == DEV_ISSUER:
            raise SettingsError(
                f"the development issuer {DEV_ISSUER!r} signs anyone in: production "
                "needs a real jwt_issuer"
            )
        try:
            self._source = source or KeySource(settings.require("jwt_jwks"))
            if not self._source.remote:
                self._source.refresh()
        except KeySetError as error:
            raise SettingsError(f"jwt_jwks: {error}") from None

    def voter(self, authorization: str | None) -> str:
        """The voter id of an `Authorization: Bearer` header. Raises as `verify`."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refused(Code.UNAUTHENTICATED)
        return self.verify(token.strip(" "))

    def verify(self, token: str) -> str:
        """The voter id, `sub`, of a token.

        Raises Refused(UNAUTHENTICATED), the same for every kind of bad token, and
        Refused(UNAVAILABLE) when the provider's keys cannot be had.
        """
        try:
            return self._verify(token)
        except (_Invalid, ProtocolError, JoseError, ValueError) as error:
            why = str(error) if isinstance(error, _Invalid) else type(error).__name__
            log.info("bearer_refused", why=why)
            raise Refused(Code.UNAUTHENTICATED) from None
        except KeySetError as error:
            log.error("bearer_keys_unavailable", why=str(error))
            raise Refused(Code.UNAVAILABLE, retry_after=5) from None

    def _verify(self, token: str) -> str:
        if len(token) > MAX_TOKEN_LENGTH or not _COMPACT.fullmatch(token):
            raise _Invalid("not a compact JWS")
        header, payload, _ = (unb64u(part) for part in token.split("."))
        key = self._source.key(_key_id(strict_json(header, MAX_HEADER_LENGTH)))
        if key is None:
            raise _Invalid("unknown key id")
        # Verified over the very bytes that are read below.
        jws.deserialize_compact(token, key, registry=REGISTRY)
        return self._subject(strict_json(payload, MAX_TOKEN_LENGTH))

    def _subject(self, claims: Any) -> str:
        if not isinstance(claims, dict):
            raise _Invalid("claims are not an object")
        if claims.get("iss") != self._issuer:
            raise _Invalid("another issuer")
        audience = claims.get("aud")
        if self._audience not in (
            audience if isinstance(audience, list) else [audience]
        ):
            raise _Invalid("another audience")
        now = self._clock()
        if _time(claims, "exp") <= now - LEEWAY:
            raise _Invalid("expired")
        if _time(claims, "iat") > now + LEEWAY:
            raise _Invalid("issued in the future")
        if "nbf" in claims and _time(claims, "nbf") > now + LEEWAY:
            raise _Invalid("not valid yet")
        voter = claims.get("sub")
        if not isinstance(voter, str) or not is_voter_id(voter):
            raise _Invalid("no usable subject")
        return voter


def _key_id(header: Any) -> str:
    if not isinstance(header, dict) or not isinstance(header.get("kid"), str):
        raise _Invalid("no key id")
    # Compared as lists: a member of any JSON type may stand there.
    if header.get("alg") not in list(REGISTRY.algorithms):
        raise _Invalid("algorithm not allowed")
    if "crit" in header or "b64" in header:
        raise _Invalid("critical header extensions")
    if header.get("typ", "JWT") not in _TYPES:
        raise _Invalid("another type of token")
    return str(header["kid"])


def _time(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Invalid(f"no usable {name}")
    return float(value)
