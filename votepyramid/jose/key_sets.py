"""The identity provider's public keys: a JWK set (RFC 7517) from a file or https.

Only Ed25519 and RSA signature keys of 2048 bits and more are taken. A set that
holds a symmetric or a private key is refused whole: whoever publishes that has a
worse problem than one key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import Key, OKPKey, RSAKey

from votepyramid.jose.sources import MAX_BYTES, Source, SourceError
from votepyramid.protocol.encoding import ProtocolError, strict_json, unb64u

MAX_KID_LENGTH = 256


class KeySetError(SourceError):
    """The key set cannot be used; the message says why."""


def parse(data: bytes) -> dict[str, Key]:
    """The usable keys of a JWK set by key id. Raises KeySetError."""
    try:
        document = strict_json(data, MAX_BYTES)
    except ProtocolError as error:
        raise KeySetError(f"the key set is not usable: {error.problem}") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise KeySetError('the key set has no list "keys"')
    keys: dict[str, Key] = {}
    for entry in entries:
        kid, key = _parse_key(entry)
        if key is None:
            continue
        if kid in keys:
            raise KeySetError("two keys of the set share one key id")
        keys[kid] = key
    if not keys:
        raise KeySetError("the key set has no Ed25519 or RSA signature key")
    return keys


def _parse_key(entry: Any) -> tuple[str, Key | None]:
    """A key and its id; no key for a kind we do not use, as RFC 7517 section 5 asks."""
    if not isinstance(entry, dict):
        raise KeySetError("a member of the key set is not an object")
    if entry.get("kty") == "oct" or "k" in entry:
        raise KeySetError("the key set holds a symmetric key")
    if "d" in entry:
        raise KeySetError("the key set holds a private key")
    kid = entry.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_LENGTH:
        raise KeySetError("a key of the set has no usable key id")
    if entry.get("use", "sig") != "sig":
        return kid, None
    try:
        if _is_for(entry, "OKP", "EdDSA", "Ed25519") and entry.get("crv") == "Ed25519":
            unb64u(entry.get("x"), 32)
            members = {name: entry[name] for name in ("kty", "crv", "x")}
            return kid, OKPKey.import_key(members)
        if _is_for(entry, "RSA", "RS256"):
            return kid, _rsa_key(entry)
    except (JoseError, ProtocolError, ValueError):
        raise KeySetError("a key of the set is malformed") from None
    return kid, None


def _is_for(entry: Mapping[str, Any], kind: str, *algorithms: str) -> bool:
    """Whether a key is of this kind and not reserved for another algorithm."""
    reserved = entry.get("alg", algorithms[0])
    return entry.get("kty") == kind and reserved in algorithms


def _rsa_key(entry: Mapping[str, Any]) -> Key:
    modulus = int.from_bytes(unb64u(entry.get("n")), "big")
    exponent = int.from_bytes(unb64u(entry.get("e")), "big")
    if not 2048 <= modulus.bit_length() <= 8192:
        raise KeySetError("an RSA key of the set has not 2048 to 8192 bits")
    if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > 64:
        raise KeySetError("an RSA key of the set has an unusable exponent")
    return RSAKey.import_key({name: entry[name] for name in ("kty", "n", "e")})


class KeySource(Source[dict[str, Key]]):
    """The current key set, fetched again when it is old or a key id is new."""

    def __init__(self, location: str, **how: Any) -> None:
        """`how` as `Source` has it. Raises SourceError for another kind of address."""
        super().__init__(location, "the key set", parse, **how)

    def key(self, kid: str) -> Key | None:
        """The key of that id, or None. Raises SourceError when there is no set."""
        found = self.current().get(kid)
        return self.newer().get(kid) if found is None else found
