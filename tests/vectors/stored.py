"""Vectors of what is kept at rest: wrapped keys, row envelopes, pseudonyms, key files.

Like generate.py, and for it: nothing of the engine is imported.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
import uuid
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.vectors.primitives import ELECTION, b64u, canonical, fixed, lp

DATA_KEY_ID = uuid.UUID("6f1d2c3b-4a59-4687-9b0a-1c2d3e4f5061")
CURRENT, EARLIER = "2026b", "2026a"


def stored_vectors() -> dict[str, Any]:
    return {
        "election": ELECTION,
        "key_ring": {
            "current": CURRENT,
            "keys": {name: b64u(fixed(f"kek {name}")) for name in (EARLIER, CURRENT)},
        },
        "wrapped_keys": wrapped_keys(),
        "rows": rows(),
        "issuance_key": fixed("issuance key").hex(),
        "pseudonyms": pseudonyms(),
        "keyfiles": keyfiles(),
    }


def wrapped_keys() -> list[dict[str, str]]:
    """Keys of an election under the key-encryption keys of a local ring.

    context = lp("evote/wrapped-key/v1") ‖ lp(e) ‖ lp(purpose) ‖ lp(key id)
    wrapped = len(ring key's id) ‖ ring key's id ‖ nonce ‖ AES-256-GCM(key, context)
    """
    vectors = []
    for purpose, key_id, ring_key in (
        ("issuance", uuid.UUID(int=1), CURRENT),
        ("ballot-box", uuid.UUID(int=2), EARLIER),
        ("data", DATA_KEY_ID, CURRENT),
    ):
        parts = (b"evote/wrapped-key/v1", ELECTION.encode(), purpose.encode())
        context = b"".join(map(lp, (*parts, key_id.bytes)))
        key, nonce = fixed(f"{purpose} key"), fixed(f"{purpose} nonce")[:12]
        sealed = AESGCM(fixed(f"kek {ring_key}")).encrypt(nonce, key, context)
        head = bytes([len(ring_key)]) + ring_key.encode()
        vectors.append(
            {
                "purpose": purpose,
                "key_id": str(key_id),
                "key": key.hex(),
                "context": context.hex(),
                "nonce": nonce.hex(),
                "wrapped": (head + nonce + sealed).hex(),
            }
        )
    return vectors


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869) for one block."""
    prk = hmac.new(salt, secret, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()


def rows() -> list[dict[str, Any]]:
    """Sealed ballots in their envelopes.

    row key = HKDF-SHA256(data key, salt = row id, info = "evote/row/v1")
    aad = lp("evote/row/v1") ‖ lp(e) ‖ lp(data key id) ‖ row id ‖ leaf hash
    """
    label, data_key = b"evote/row/v1", fixed("data key")
    vectors = []
    for number, ballot in enumerate((b"\x00", fixed("a sealed ballot") * 9)):
        row_id = uuid.UUID(int=(1 << 127) + number)
        leaf_hash, nonce = fixed(f"leaf {number}"), fixed(f"row nonce {number}")[:12]
        row_key = hkdf(data_key, row_id.bytes, label)
        aad = lp(label) + lp(ELECTION.encode()) + lp(DATA_KEY_ID.bytes)
        aad += row_id.bytes + leaf_hash
        sealed = AESGCM(row_key).encrypt(nonce, ballot, aad)
        vectors.append(
            {
                "row_id": str(row_id),
                "data_key_id": str(DATA_KEY_ID),
                "data_key": data_key.hex(),
                "leaf_hash": leaf_hash.hex(),
                "ballot": ballot.hex(),
                "row_key": row_key.hex(),
                "associated": aad.hex(),
                "nonce": nonce.hex(),
                "envelope": {
                    "data_key": str(DATA_KEY_ID),
                    "nonce": b64u(nonce),
                    "ciphertext": b64u(sealed),
                },
            }
        )
    return vectors


def pseudonyms() -> list[dict[str, str]]:
    """HMAC-SHA-256(K_iss, lp("evote/voter-pseudonym/v1") ‖ lp(e) ‖ lp(voter))."""
    vectors = []
    for voter in ("voter-1", "voter-2", "\u0935\u094b\u091f"):
        parts = (b"evote/voter-pseudonym/v1", ELECTION.encode(), voter.encode())
        message = b"".join(map(lp, parts))
        mac = hmac.new(fixed("issuance key"), message, hashlib.sha256)
        vectors.append({"voter": voter, "pseudonym": mac.hexdigest()})
    return vectors


def keyfiles() -> list[dict[str, str]]:
    """Secrets of trustees and authority under a passphrase.

    key = scrypt(NFC(passphrase), salt, N = 2^log2_n, r = 8, p = 1)
    aad = lp("evote/keyfile/v1") ‖ lp(JCS(all members but the ciphertext))
    """
    vectors = []
    for purpose, passphrase, cost in (
        ("trustees", "correct horse battery staple", 10),
        ("authority", "cafe\u0301 \u9078\u6319", 14),
    ):
        secret, nonce = fixed(f"{purpose} secret"), fixed(f"{purpose} file nonce")[:12]
        salt = fixed(f"{purpose} salt")
        header = {
            "kdf": "scrypt",
            "log2_n": cost,
            "nonce": b64u(nonce),
            "purpose": purpose,
            "salt": b64u(salt),
            "version": 1,
        }
        key = hashlib.scrypt(
            unicodedata.normalize("NFC", passphrase).encode(),
            salt=salt,
            n=1 << cost,
            r=8,
            p=1,
            maxmem=1 << 26,
            dklen=32,
        )
        aad = lp(b"evote/keyfile/v1") + lp(canonical(header).encode())
        sealed = AESGCM(key).encrypt(nonce, secret, aad)
        document = canonical({**header, "ciphertext": b64u(sealed)})
        vectors.append(
            {
                "purpose": purpose,
                "passphrase": passphrase,
                "salt": salt.hex(),
                "nonce": nonce.hex(),
                "secret": secret.hex(),
                "file": document + "\n",
            }
        )
    return vectors
