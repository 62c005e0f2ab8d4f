"""A provider's discovery document (OpenID Connect Discovery 1.0): where what is."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from votepyramid.jose.signed import REGISTRY
from votepyramid.jose.sources import MAX_BYTES, SourceError
from votepyramid.protocol.encoding import ProtocolError, strict_json

WELL_KNOWN = "/.well-known/openid-configuration"
MAX_ADDRESS_LENGTH = 2048
_ADDRESS = re.compile(r"(https?)://[^/?#\s\"'<>\\]+[^#\s\"'<>\\]*", re.ASCII)


@dataclass(frozen=True)
class Metadata:
    """Addresses, and what the provider says it can; None where it does not say.

    `names_issuer`: its answers carry `iss` (RFC 9207).
    """

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    names_issuer: bool
    response_types: Collection[str] | None
    challenge_methods: Collection[str] | None
    algorithms: Collection[str] | None
    client_authentication: Collection[str] | None
    claims: Collection[str] | None


def address(issuer: str) -> str:
    """Where the document of an issuer is: section 4."""
    return issuer.removesuffix("/") + WELL_KNOWN


def parse(data: bytes, issuer: str) -> Metadata:
    """What we need of the document. Raises SourceError when it is no document of ours.

    Its addresses are https, or http where the issuer is.
    """
    try:
        document = strict_json(data, MAX_BYTES)
    except ProtocolError as error:
        raise SourceError(f"the discovery document: {error.problem}") from None
    if not isinstance(document, dict):
        raise SourceError("the discovery document is not an object")
    if document.get("issuer") != issuer:
        # Section 4.3: it must be exactly ours.
        raise SourceError("the discovery document names another issuer")
    insecure = issuer.startswith("http://")
    return Metadata(
        _address(document, "authorization_endpoint", insecure),
        _address(document, "token_endpoint", insecure),
        _address(document, "jwks_uri", insecure),
        document.get("authorization_response_iss_parameter_supported") is True,
        _listed(document, "response_types_supported"),
        _listed(document, "code_challenge_methods_supported"),
        _listed(document, "id_token_signing_alg_values_supported"),
        _listed(document, "token_endpoint_auth_methods_supported"),
        _listed(document, "claims_supported"),
    )


def lacks(found: Metadata, *, secret: bool) -> list[str]:
    """What we need and it says it cannot, in words; `secret`: whether we have one."""
    method = "client_secret_basic" if secret else "none"
    needed: list[tuple[str, Collection[str] | None, Collection[str]]] = [
        ("the response type code", found.response_types, {"code"}),
        ("PKCE with S256", found.challenge_methods, {"S256"}),
        ("ID tokens signed with RS256 or EdDSA", found.algorithms, REGISTRY.algorithms),
        (f"client authentication by {method}", found.client_authentication, {method}),
    ]
    return [
        what
        for what, offered, wanted in needed
        if offered is not None and not set(offered) & set(wanted)
    ]


def _address(document: dict[str, Any], name: str, insecure: bool) -> str:
    value = document.get(name)
    found = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if found is None or len(found[0]) > MAX_ADDRESS_LENGTH:
        raise SourceError(f"the discovery document has no usable {name}")
    if found[1] == "http" and not insecure:
        raise SourceError(f"{name} in the discovery document is not https")
    return found[0]


def _listed(document: dict[str, Any], name: str) -> frozenset[str] | None:
    value = document.get(name)
    if not isinstance(value, list):
        return None
    return frozenset(one for one in value if isinstance(one, str))
