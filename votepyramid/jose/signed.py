"""What a provider has signed: a JWT (RFC 7519), and what of it every reader asks.

What a token must be is decided here, not by its header: EdDSA over Ed25519 or RS256,
with a key id of the provider's set, its JSON without repeated members (RFC 8725).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from votepyramid.jose.key_sets import KeySource
from votepyramid.protocol.encoding import ProtocolError, strict_json, unb64u

LEEWAY = 30
MAX_TOKEN_LENGTH = 8 * 1024
MAX_HEADER_LENGTH = 1024
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


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


class InvalidToken(Exception):
    """Why a token is not accepted, for the log alone."""


def claims(token: str, source: KeySource, types: Collection[str]) -> dict[str, Any]:
    """The claims of a token that a key of the set signed; `types` are those of `typ`.

    Raises InvalidToken, and SourceError when the provider's keys cannot be had.
    """
    try:
        found = _verified(token, source, types)
    except (ProtocolError, JoseError, ValueError) as error:
        raise InvalidToken(type(error).__name__) from None
    if not isinstance(found, dict):
        raise InvalidToken("claims are not an object")
    return found


def check_times(claims: dict[str, Any], now: float) -> None:
    """Raises InvalidToken when the token is not for this time, in Unix seconds."""
    if seconds(claims, "exp") <= now - LEEWAY:
        raise InvalidToken("expired")
    if seconds(claims, "iat") > now + LEEWAY:
        raise InvalidToken("issued in the future")
    if "nbf" in claims and seconds(claims, "nbf") > now + LEEWAY:
        raise InvalidToken("not valid yet")


def seconds(claims: dict[str, Any], name: str) -> float:
    """A claim that is a time, in Unix seconds. Raises InvalidToken."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken(f"no usable {name}")
    return float(value)


def _verified(token: str, source: KeySource, types: Collection[str]) -> Any:
    if len(token) > MAX_TOKEN_LENGTH or not _COMPACT.fullmatch(token):
        raise InvalidToken("not a compact JWS")
    header, payload, _ = (unb64u(part) for part in token.split("."))
    key = source.key(_key_id(strict_json(header, MAX_HEADER_LENGTH), types))
    if key is None:
        raise InvalidToken("unknown key id")
    # Verified over the very bytes that are read below.
    jws.deserialize_compact(token, key, registry=REGISTRY)
    return strict_json(payload, MAX_TOKEN_LENGTH)


def _key_id(header: Any, types: Collection[str]) -> str:
    if not isinstance(header, dict) or not isinstance(header.get("kid"), str):
        raise InvalidToken("no key id")
    # Compared as lists: a member of any JSON type may stand there.
    if header.get("alg") not in list(REGISTRY.algorithms):
        raise InvalidToken("algorithm not allowed")
    if "crit" in header or "b64" in header:
        raise InvalidToken("critical header extensions")
    if header.get("typ", "JWT") not in list(types):
        raise InvalidToken("another type of token")
    return str(header["kid"])
