"""Suites against published HPKE vectors (RFC 9180 and the post-quantum file).

The published encryptions carry an aad, which the library offers only privately. The
public path without aad is checked too: from the published KEM secret the expected
ciphertext is computed with a key schedule written apart from the library's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.protocol.support import election
from tests.vectors import generate
from votepyramid.protocol import ballot, identifiers, suites
from votepyramid.protocol.encoding import b64u

FOLDER = Path(cryptography_vectors.__file__).parent / "HPKE"
AEADS = {
    1: hpke.AEAD.AES_128_GCM,
    2: hpke.AEAD.AES_256_GCM,
    3: hpke.AEAD.CHACHA20_POLY1305,
}
KDFS = {1: hpke.KDF.HKDF_SHA256, 17: hpke.KDF.SHAKE256}


def published(file: str, kem_id: int) -> list[dict[str, Any]]:
    cases = json.loads((FOLDER / file).read_bytes())
    return [
        case
        for case in cases
        if case["mode"] == 0
        and case["kem_id"] == kem_id
        and case["kdf_id"] in KDFS
        and case["aead_id"] in AEADS
    ]


RFC9180 = published("test-vectors.json", 0x0020)
POST_QUANTUM = published("hpke-pq-test-vectors.json", 0x647A)
CASES: list[tuple[suites.Suite, dict[str, Any]]] = [
    *((suites.X25519, case) for case in RFC9180),
    *((suites.XWING, case) for case in POST_QUANTUM),
]
EACH = pytest.mark.parametrize(
    ("suite", "case"),
    CASES,
    ids=[f"{c['kem_id']:04x}-{c['kdf_id']}-{c['aead_id']}" for _, c in CASES],
)
SELECTIONS = {"mayor": [["c3"], [], ["c1", "c2"]], "measure-1": [["c0"]]}


def test_our_suites_are_among_the_published() -> None:
    ids = {(case["kem_id"], case["kdf_id"], case["aead_id"]) for case in RFC9180}
    ours = suites.X25519
    assert (ours.kem_id, ours.kdf_id, ours.aead_id) in ids
    assert len(RFC9180) == 3
    assert len(POST_QUANTUM) == 2


@EACH
def test_public_key_from_private(suite: suites.Suite, case: dict[str, Any]) -> None:
    public = suite.public_of(bytes.fromhex(case["skRm"]))
    assert public.hex() == case["pkRm"]
    assert len(case["enc"]) == 2 * suite.enc_length
    suite.check_public(public)


@EACH
def test_published_ciphertext_opens(suite: suites.Suite, case: dict[str, Any]) -> None:
    runner = hpke.Suite(suite._kem, KDFS[case["kdf_id"]], AEADS[case["aead_id"]])
    private, _ = suite._load_private(bytes.fromhex(case["skRm"]))
    first = case["encryptions"][0]
    plaintext = openssl.hpke._decrypt_with_aad(
        runner,
        bytes.fromhex(case["enc"] + first["ct"]),
        private,
        bytes.fromhex(case["info"]),
        bytes.fromhex(first["aad"]),
    )
    assert plaintext.hex() == first["pt"]


def test_key_schedule_of_the_generator() -> None:
    """The vectors' own key schedule gives the published key and nonce."""
    (case,) = (case for case in RFC9180 if case["aead_id"] == 2)
    first = case["encryptions"][0]
    plaintext = bytes.fromhex(first["pt"])
    info = bytes.fromhex(case["info"])
    shared = bytes.fromhex(case["shared_secret"])
    sealed = generate.hpke_seal(0x20, shared, info, plaintext)
    cipher = AESGCM(bytes.fromhex(case["key"]))
    assert sealed == cipher.encrypt(bytes.fromhex(case["base_nonce"]), plaintext, b"")


@EACH
def test_public_path_without_aad(suite: suites.Suite, case: dict[str, Any]) -> None:
    info, plaintext = bytes.fromhex(case["info"]), b"a plaintext"
    shared = bytes.fromhex(case["shared_secret"])
    body = generate.hpke_seal(suite.kem_id, shared, info, plaintext)
    sealed = bytes.fromhex(case["enc"]) + body
    assert len(sealed) == len(plaintext) + suite.overhead
    assert suite.open(bytes.fromhex(case["skRm"]), sealed, info) == plaintext


@EACH
def test_ballot_on_published_keys(suite: suites.Suite, case: dict[str, Any]) -> None:
    """A whole ballot, sealed from a published KEM secret, opens."""
    public = bytes.fromhex(case["pkRm"])
    kid = identifiers.key_id(suite.id, public)
    manifest = {
        **election(suite.id).manifest,
        "public_key": b64u(public),
        "key_id": kid.hex(),
    }
    m, tag = identifiers.manifest_hash(manifest), bytes(range(32))
    info = identifiers.ballot_info("demo", m, "w9", suite.id, kid, tag)
    padded = ballot.pad(ballot.encode_selections(SELECTIONS), 128)
    shared = bytes.fromhex(case["shared_secret"])
    body = generate.hpke_seal(suite.kem_id, shared, info, padded)
    payload = bytes.fromhex(case["enc"]) + body
    private = bytes.fromhex(case["skRm"])
    assert ballot.open_ballot(private, manifest, "w9", tag, payload) == SELECTIONS
