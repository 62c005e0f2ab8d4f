"""An identity provider for tests: its keys, and tokens with anything in them."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from votepyramid.protocol.encoding import b64u

NOW = 1_800_000_000
ISSUER = "https://id.example"
AUDIENCE = "votepyramid"


def claims(**changes: Any) -> dict[str, Any]:
    """Claims that are accepted at NOW; a change to None takes a claim away."""
    made = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "voter-1",
        "iat": NOW - 10,
        "exp": NOW + 600,
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


def segment(value: Any) -> str:
    """One part of a compact token; bytes go in as they are."""
    return b64u(value if isinstance(value, bytes) else json.dumps(value).encode())


class Provider:
    """Two real keys, "ed" (Ed25519) and "rsa" (RSA 2048), and raw signing."""

    def __init__(self) -> None:
        self.ed = Ed25519PrivateKey.generate()
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwks(self) -> dict[str, Any]:
        return {"keys": [self.ed_jwk(), self.rsa_jwk()]}

    def ed_jwk(self) -> dict[str, Any]:
        x = self.ed.public_key().public_bytes_raw()
        return {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": b64u(x)}

    def rsa_jwk(self) -> dict[str, Any]:
        return {**rsa_members(self.rsa.public_key()), "kid": "rsa", "use": "sig"}

    def ed_token(self, payload: Any, header: Any = None) -> str:
        header = {"alg": "EdDSA", "kid": "ed"} if header is None else header
        signed = f"{segment(header)}.{segment(payload)}"
        return f"{signed}.{b64u(self.ed.sign(signed.encode()))}"

    def rsa_token(self, payload: Any, header: Any = None) -> str:
        header = {"alg": "RS256", "kid": "rsa"} if header is None else header
        signed = f"{segment(header)}.{segment(payload)}"
        signature = self.rsa.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{b64u(signature)}"


def hmac_token(secret: bytes, payload: Any, header: Any) -> str:
    """What an attacker makes who knows only the public key's bytes."""
    signed = f"{segment(header)}.{segment(payload)}"
    tag = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{b64u(tag)}"


def rsa_members(key: rsa.RSAPublicKey) -> dict[str, Any]:
    """The public members of an RSA JWK."""
    numbers = key.public_numbers()
    size = (numbers.n.bit_length() + 7) // 8
    return {
        "kty": "RSA",
        "n": b64u(numbers.n.to_bytes(size, "big")),
        "e": b64u(numbers.e.to_bytes(3, "big").lstrip(b"\0")),
    }
