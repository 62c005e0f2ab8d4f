"""A security key made of software: what a browser and a key do of WebAuthn, Level 3.

ECDSA with P-256, no attestation, a counter. The sections named are those of
https://www.w3.org/TR/webauthn-3/.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT = 0x01
_ATTESTED = 0x40


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class SoftwareKey:
    """`step` is by how much the counter goes on: 0 for a key that does not count."""

    origin: str
    step: int = 1
    flags: int = PRESENT
    count: int = 0
    id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def create(self, options: str) -> str:
        """`navigator.credentials.create` (section 5.1.3)."""
        asked = json.loads(options)
        assert {"alg": -7, "type": "public-key"} in asked["pubKeyCredParams"]
        attested = (
            bytes(16) + len(self.id).to_bytes(2, "big") + self.id + self.public_key()
        )
        data = self._data(asked["rp"]["id"], _ATTESTED) + attested
        made = {"fmt": "none", "attStmt": {}, "authData": data}
        client = self._client("webauthn.create", asked["challenge"])
        return self._credential(client, attestationObject=b64(cbor2.dumps(made)))

    def get(self, options: str) -> str:
        """`navigator.credentials.get` (section 5.1.4)."""
        asked = json.loads(options)
        assert b64(self.id) in [one["id"] for one in asked["allowCredentials"]]
        return self.sign(asked["rpId"], asked["challenge"])

    def sign(self, party: str, challenge: str, kind: str = "webauthn.get") -> str:
        """An answer whatever was asked (section 6.3.3)."""
        client, data = self._client(kind, challenge), self._data(party)
        signed = self.private.sign(
            data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256())
        )
        return self._credential(
            client, authenticatorData=b64(data), signature=b64(signed)
        )

    def public_key(self) -> bytes:
        """As COSE has it: RFC 9053, section 7.1.1."""
        point = self.private.public_key().public_numbers()
        x, y = (number.to_bytes(32, "big") for number in (point.x, point.y))
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})

    def _data(self, party: str, flags: int = 0) -> bytes:
        """Authenticator data (section 6.1)."""
        self.count += self.step
        hashed = hashlib.sha256(party.encode()).digest()
        return hashed + bytes([self.flags | flags]) + self.count.to_bytes(4, "big")

    def _client(self, kind: str, challenge: str) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin}
        return json.dumps(said).encode()

    def _credential(self, client: bytes, **response: str) -> str:
        made: dict[str, Any] = {
            "id": b64(self.id),
            "rawId": b64(self.id),
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {"clientDataJSON": b64(client), **response},
        }
        return json.dumps(made)
