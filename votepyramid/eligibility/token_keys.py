"""Keys of our own that sign tokens: Ed25519, as JWK (RFC 7517, RFC 8037).

Two sign: the development issuer, and the administrators' pages, which say who may have
payloads opened.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from votepyramid.jose.signed import REGISTRY
from votepyramid.protocol.encoding import ProtocolError, jcs, strict_json

MAX_BYTES = 4096
_MEMBERS = ("kty", "crv", "kid", "x", "d")


class NoTokenKey(ValueError):
    """This is not such a key."""


def make() -> OKPKey:
    """A new key; its id is its thumbprint (RFC 7638)."""
    return OKPKey.generate_key(
        "Ed25519", {"use": "sig", "alg": "EdDSA"}, private=True, auto_kid=True
    )


def private_part(key: OKPKey) -> dict[str, Any]:
    """The whole key, for whoever signs with it."""
    return dict(key.as_dict(private=True))


def public_set(key: OKPKey) -> dict[str, Any]:
    """A JWK set with the public part alone, for whoever checks."""
    return dict(KeySet([key]).as_dict(private=False))


def parse(data: bytes) -> OKPKey:
    """The key whose private part this is, as JSON. Raises NoTokenKey."""
    try:
        members = strict_json(data, MAX_BYTES)
        key = OKPKey.import_key({name: members[name] for name in _MEMBERS})
    except (JoseError, ProtocolError, ValueError, LookupError, TypeError):
        raise NoTokenKey from None
    if not key.is_private or not key.kid:
        raise NoTokenKey
    return key


def sign(key: OKPKey, claims: Mapping[str, Any], lifetime: int) -> str:
    """A compact JWS of the claims, good from now on for `lifetime` seconds."""
    now = int(time.time())
    header: dict[str, Any] = {"alg": "EdDSA", "typ": "JWT", "kid": key.kid}
    timed = {**claims, "iat": now, "exp": now + lifetime}
    return jws.serialize_compact(header, jcs(timed), key, registry=REGISTRY)
