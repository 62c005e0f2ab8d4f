"""The hashes and tokens that name an election, a voter's token and a ballot.

Each is a domain-separated hash over length-prefixed parts (`encoding.H`). Election
`e`, style and suite enter as UTF-8; the manifest hash `m`, key id and tag as 32 raw
bytes; a bearer as its 16 bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from typing import Any

from votepyramid.protocol.encoding import (
    H,
    NotCanonical,
    check_id,
    jcs,
    lp,
    u32be,
    utf8,
    v8,
)

ISSUANCE_KEY_LENGTH = 32


def manifest_hash(manifest: dict[str, Any]) -> bytes:
    """`m`, 32 bytes: SHA-256 of the manifest's canonical JSON (RFC 8785)."""
    return hashlib.sha256(jcs(manifest)).digest()


def bearer(k_iss: bytes, e: str, m: bytes, voter: str, counter: int) -> uuid.UUID:
    """`b`, the one-time token that a voter holds.

    Derived from the 32-byte issuance key, so that a repeated claim gives the same
    token without it being stored. `counter` rises only by a re-issue.
    """
    if len(k_iss) != ISSUANCE_KEY_LENGTH:
        raise NotCanonical(f"an issuance key has {ISSUANCE_KEY_LENGTH} bytes")
    if not voter:
        raise NotCanonical("a voter id is empty")
    parts = (b"evote/bearer/v1", utf8(check_id(e)), _hash(m), utf8(voter))
    message = b"".join(map(lp, parts)) + u32be(counter)
    return v8(hmac.digest(k_iss, message, "sha256")[:16])


def token_id(e: str, m: bytes, b: uuid.UUID) -> uuid.UUID:
    """`d`, all that is stored of a bearer where it can be spent."""
    return v8(H("evote/token-id/v1", check_id(e), _hash(m), b.bytes)[:16])


def token_tag(e: str, m: bytes, b: uuid.UUID) -> bytes:
    """`t`, 32 bytes: the public tag of the one vote that a bearer casts."""
    return H("evote/token-tag/v1", check_id(e), _hash(m), b.bytes)


def key_id(suite: str, public: bytes) -> bytes:
    """`kid`, 32 bytes: names an election's public key together with its suite."""
    return H("evote/key/v1", check_id(suite), public)


def ballot_info(
    e: str, m: bytes, style: str, suite: str, kid: bytes, t: bytes
) -> bytes:
    """The HPKE `info` (32 bytes) that binds a sealed ballot to its place."""
    check_id(e), check_id(style), check_id(suite)
    return H("evote/ballot/v1", e, _hash(m), style, suite, _hash(kid), _hash(t))


def ciphertext_hash(suite: str, kid: bytes, style: str, ciphertext: bytes) -> bytes:
    """`c`, 32 bytes: names a sealed ballot; unique in its election."""
    check_id(suite), check_id(style)
    return H("evote/ct/v1", suite, _hash(kid), style, ciphertext)


def _hash(value: bytes) -> bytes:
    # Catches hex or base64 text handed over where the raw hash belongs.
    if len(value) != 32:
        raise NotCanonical("a hash has 32 bytes")
    return value
