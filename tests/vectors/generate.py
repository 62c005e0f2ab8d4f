"""Compute the test vectors of every byte definition, apart from the engine's code.

    python -m tests.vectors.generate [DIRECTORY]

Nothing of the engine is imported: each definition is written out again from its
specification with hashlib, hmac and struct, so that a vector and the code under
test cannot share a mistake. Key agreement, AES-GCM and Ed25519 themselves come from
the cryptography library; HPKE's key schedule (RFC 9180, section 5.1) is spelled out.
All keys are fixed and public: hash a label, never use them for anything else. What
the engine keeps at rest is in stored.py, what both need in primitives.py.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
import sys
import uuid
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519, mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.vectors import stored
from tests.vectors.primitives import (
    ELECTION,
    b64,
    b64u,
    canonical,
    digest,
    fixed,
    lp,
    v8,
)

X25519 = "x25519-hkdf-sha256-aes256gcm"
XWING = "xwing-hkdf-sha256-aes256gcm"
STYLE = "w9"


def public_keys() -> dict[str, tuple[bytes, bytes]]:
    """Suite to (private, public), raw."""
    plain = fixed("x25519 private key")
    seed = fixed("x-wing private key")
    wide = hashlib.shake_256(seed).digest(96)
    lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(wide[:64]).public_key()
    return {
        X25519: (plain, x25519_public(plain)),
        XWING: (seed, lattice.public_bytes_raw() + x25519_public(wide[64:])),
    }


def x25519_public(private: bytes) -> bytes:
    key = x25519.X25519PrivateKey.from_private_bytes(private)
    return key.public_key().public_bytes_raw()


def key_texts(name: str, seed: bytes) -> dict[str, str]:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes_raw()
    key_id = hashlib.sha256(name.encode() + b"\x0a\x01" + public).digest()[:4].hex()
    return {
        "name": name,
        "seed": seed.hex(),
        "public": public.hex(),
        "key_id": key_id,
        "verifier": f"{name}+{key_id}+{b64(bytes([1]) + public)}",
        "signer": f"PRIVATE+KEY+{name}+{key_id}+{b64(bytes([1]) + seed)}",
    }


def signed_note(text: str, key: dict[str, str]) -> str:
    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key["seed"]))
    signature = private.sign(text.encode())
    blob = bytes.fromhex(key["key_id"]) + signature
    return f"{text}\n\u2014 {key['name']} {b64(blob)}\n"


AUTHORITY = key_texts("authority.example/vectors", fixed("authority key"))
BALLOT_BOX = key_texts("votepyramid.example/vectors", fixed("ballot box key"))


def key_id(suite: str, public: bytes) -> bytes:
    return digest(b"evote/key/v1", suite.encode(), public)


def manifest(suite: str) -> dict[str, Any]:
    public = public_keys()[suite][1]
    return {
        "version": 1,
        "id": ELECTION,
        "title": "Vectors \u2014 \u0432\u044b\u0431\u043e\u0440\u044b \u9078\u6319",
        "opens": "2026-11-23T08:00:00Z",
        "closes": "2026-11-23T20:00:00Z",
        "grace_seconds": 300,
        "contests": [
            {
                "id": "mayor",
                "title": "Mayor",
                "ranks": 3,
                "choices": [
                    {"id": "c1", "name": "Zo\u00eb \u00c5ngstr\u00f6m"},
                    {"id": "c2", "name": 'A "quoted" name'},
                    {"id": "c10", "name": "\u738b\u5c0f\u660e"},
                ],
            },
            {
                "id": "measure-1",
                "title": "Measure 1",
                "ranks": 1,
                "choices": [{"id": "yes", "name": "Yes"}, {"id": "no", "name": "No"}],
            },
        ],
        "styles": [
            {
                "id": STYLE,
                "contests": ["mayor", "measure-1"],
                "precincts": ["W-9 P-01", "W-9 P-02"],
                "plaintext_length": 128,
            },
            {
                "id": "w10",
                "contests": ["mayor"],
                "precincts": ["W-10 P-01"],
                "plaintext_length": 128,
            },
        ],
        "suite": suite,
        "public_key": b64u(public),
        "key_id": key_id(suite, public).hex(),
        "eligibility": {
            "policy": "permit(principal, action, resource);",
            "attributes": {"age": "Long"},
            "late_changes": "honour",
        },
        "rate": {
            "claims_per_voter_per_minute": 120,
            "casts_per_token_per_minute": 120,
            "rejected_ballots_per_token": 5,
        },
        "receipts": {"origin": BALLOT_BOX["name"], "key": BALLOT_BOX["verifier"]},
    }


def manifest_hash(suite: str) -> bytes:
    return hashlib.sha256(canonical(manifest(suite)).encode()).digest()


def bearer(m: bytes, voter: str, counter: int) -> bytes:
    parts = (b"evote/bearer/v1", ELECTION.encode(), m, voter.encode())
    message = b"".join(map(lp, parts)) + struct.pack(">I", counter)
    mac = hmac.new(fixed("issuance key"), message, hashlib.sha256).digest()
    return v8(mac[:16])


def token_tag(m: bytes, b: bytes) -> bytes:
    return digest(b"evote/token-tag/v1", ELECTION.encode(), m, b)


def info(suite: str, style: str, t: bytes) -> bytes:
    kid = key_id(suite, public_keys()[suite][1])
    label, e, m = b"evote/ballot/v1", ELECTION.encode(), manifest_hash(suite)
    return digest(label, e, m, style.encode(), suite.encode(), kid, t)


def ciphertext_hash(suite: str, style: str, ciphertext: bytes) -> bytes:
    kid = key_id(suite, public_keys()[suite][1])
    return digest(b"evote/ct/v1", suite.encode(), kid, style.encode(), ciphertext)


def leaf(c: bytes, m: bytes, t: bytes) -> str:
    return canonical({"c": b64u(c), "e": ELECTION, "m": b64u(m), "t": b64u(t), "v": 1})


def labeled_extract(suite_id: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    data = b"HPKE-v1" + suite_id + label + ikm
    return hmac.new(salt or bytes(32), data, hashlib.sha256).digest()


def labeled_expand(
    suite_id: bytes, prk: bytes, label: bytes, context: bytes, size: int
) -> bytes:
    data = struct.pack(">H", size) + b"HPKE-v1" + suite_id + label + context
    assert size <= 32  # one block of HKDF-Expand
    return hmac.new(prk, data + b"\x01", hashlib.sha256).digest()[:size]


def hpke_seal(kem: int, shared: bytes, context: bytes, plaintext: bytes) -> bytes:
    """HPKE base mode from the KEM's secret: HKDF-SHA256, AES-256-GCM, no aad."""
    suite_id = b"HPKE" + struct.pack(">HHH", kem, 1, 2)
    psk_id_hash = labeled_extract(suite_id, b"", b"psk_id_hash", b"")
    info_hash = labeled_extract(suite_id, b"", b"info_hash", context)
    schedule = b"\x00" + psk_id_hash + info_hash
    secret = labeled_extract(suite_id, shared, b"secret", b"")
    key = labeled_expand(suite_id, secret, b"key", schedule, 32)
    nonce = labeled_expand(suite_id, secret, b"base_nonce", schedule, 12)
    return AESGCM(key).encrypt(nonce, plaintext, b"")


def x25519_seal(public: bytes, context: bytes, plaintext: bytes) -> bytes:
    """HPKE with DHKEM(X25519, HKDF-SHA256) and a fixed ephemeral key."""
    ephemeral = x25519.X25519PrivateKey.from_private_bytes(fixed("ephemeral key"))
    enc = ephemeral.public_key().public_bytes_raw()
    point = ephemeral.exchange(x25519.X25519PublicKey.from_public_bytes(public))
    kem_id = b"KEM" + struct.pack(">H", 0x20)
    prk = labeled_extract(kem_id, b"", b"eae_prk", point)
    shared = labeled_expand(kem_id, prk, b"shared_secret", enc + public, 32)
    return enc + hpke_seal(0x20, shared, context, plaintext)


def encoding_vectors() -> dict[str, Any]:
    samples = [b"", b"\x00", b"a", bytes(range(256)), "\u00e9\U0001f5f3".encode()]
    return {
        "lp": [{"data": s.hex(), "lp": lp(s).hex()} for s in samples],
        "H": [
            {"parts": [p.hex() for p in parts], "hash": digest(*parts).hex()}
            for parts in ([], [b""], [b"ab", b"c"], [b"a", b"bc"], samples)
        ],
        "v8": [
            {"data": d.hex(), "uuid": str(uuid.UUID(bytes=v8(d)))}
            for d in (bytes(16), b"\xff" * 16, fixed("v8")[:16])
        ],
        "b64u": [{"data": s.hex(), "text": b64u(s)} for s in samples],
    }


def identifier_vectors(suite: str) -> dict[str, Any]:
    m = manifest_hash(suite)
    public = public_keys()[suite][1]
    tokens = []
    for voter, counter in [("voter-1", 0), ("voter-1", 1), ("\u0935\u094b\u091f", 0)]:
        b = bearer(m, voter, counter)
        d = v8(digest(b"evote/token-id/v1", ELECTION.encode(), m, b)[:16])
        t = token_tag(m, b)
        tokens.append(
            {
                "voter": voter,
                "counter": counter,
                "bearer": str(uuid.UUID(bytes=b)),
                "token_id": str(uuid.UUID(bytes=d)),
                "token_tag": t.hex(),
                "info": info(suite, STYLE, t).hex(),
            }
        )
    ciphertext = fixed("some ciphertext")
    return {
        "suite": suite,
        "election": ELECTION,
        "style": STYLE,
        "issuance_key": fixed("issuance key").hex(),
        "public_key": public.hex(),
        "key_id": key_id(suite, public).hex(),
        "manifest_hash": m.hex(),
        "tokens": tokens,
        "ciphertext": ciphertext.hex(),
        "ciphertext_hash": ciphertext_hash(suite, STYLE, ciphertext).hex(),
    }


SELECTIONS: list[dict[str, Any]] = [
    {"mayor": [["c10"], ["c2"], ["c1"]], "measure-1": [["yes"]]},
    {"mayor": [[], [], []], "measure-1": [[]]},
    {"mayor": [["c1", "c2", "c10"], [], ["c1"]], "measure-1": [["yes", "no"]]},
    {"mayor": [["c1"], ["c1"], ["c1"]], "measure-1": [["no"]]},
]


def ballot_vectors() -> list[dict[str, Any]]:
    private, public = public_keys()[X25519]
    m = manifest_hash(X25519)
    vectors = []
    for counter, selections in enumerate(SELECTIONS):
        text = canonical(selections).encode()
        padded = text + b"\x80" + bytes(128 - len(text) - 1)
        b = bearer(m, "voter-1", counter)
        t = token_tag(m, b)
        payload = x25519_seal(public, info(X25519, STYLE, t), padded)
        c = ciphertext_hash(X25519, STYLE, payload)
        record = leaf(c, m, t)
        vectors.append(
            {
                "private_key": private.hex(),
                "style": STYLE,
                "bearer": str(uuid.UUID(bytes=b)),
                "selections": selections,
                "encoded": text.decode(),
                "padded": padded.hex(),
                "payload": payload.hex(),
                "c": c.hex(),
                "t": t.hex(),
                "leaf": record,
                **receipt(record, m),
            }
        )
    return vectors


def receipt(record: str, m: bytes) -> dict[str, str]:
    leaf_hash = hashlib.sha256(b"\x00" + record.encode()).digest()
    text = f"evote/receipt/v1\n{BALLOT_BOX['name']}\n{m.hex()}\n{b64(leaf_hash)}\n"
    note = signed_note(text, BALLOT_BOX)
    answer = {
        "leaf": json.loads(record),
        "note": note,
        "receipt_hash": leaf_hash.hex(),
        "status": "accepted",
    }
    return {
        "receipt_hash": leaf_hash.hex(),
        "receipt_text": text,
        "receipt_note": note,
        "answer": canonical(answer),
    }


def manifest_vectors() -> list[dict[str, Any]]:
    vectors = []
    for suite in (X25519, XWING):
        m = manifest_hash(suite)
        text = f"evote/manifest/v1\n{ELECTION}\n{m.hex()}\n"
        note = signed_note(text, AUTHORITY)
        vectors.append(
            {
                "private_key": public_keys()[suite][0].hex(),
                "manifest": manifest(suite),
                "canonical": canonical(manifest(suite)),
                "manifest_hash": m.hex(),
                "text": text,
                "note": note,
                "file": canonical({"manifest": manifest(suite), "note": note}),
            }
        )
    return vectors


def note_vectors() -> dict[str, Any]:
    texts = ["\n", "one line\n", "two\n\nparagraphs, \u00e9\U0001f5f3\n"]
    return {
        "keys": [AUTHORITY, BALLOT_BOX],
        "notes": [{"text": t, "note": signed_note(t, AUTHORITY)} for t in texts],
    }


def build() -> dict[str, str]:
    """File name to content."""
    vectors = {
        "encoding.json": encoding_vectors(),
        "identifiers.json": [identifier_vectors(s) for s in (X25519, XWING)],
        "ballots.json": ballot_vectors(),
        "manifests.json": manifest_vectors(),
        "notes.json": note_vectors(),
        "stored.json": stored.stored_vectors(),
    }
    return {
        name: json.dumps(content, indent=1, ensure_ascii=True) + "\n"
        for name, content in vectors.items()
    }


def main() -> None:
    folder = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent
    for name, content in build().items():
        (folder / name).write_text(content, encoding="ascii")


if __name__ == "__main__":
    main()
