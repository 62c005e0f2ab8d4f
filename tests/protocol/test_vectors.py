"""The code under test against vectors computed without it."""

from __future__ import annotations

import ast
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.protocol.support import VECTORS, vectors
from votepyramid.protocol import (
    ballot,
    encoding,
    identifiers,
    leaf,
    manifest,
    notes,
    receipt,
    verify,
)
from votepyramid.protocol.suites import SUITES

IDENTIFIERS = pytest.mark.parametrize(
    "vector", vectors("identifiers.json"), ids=lambda v: v["suite"]
)
BALLOTS = pytest.mark.parametrize("vector", vectors("ballots.json"))
MANIFESTS = pytest.mark.parametrize(
    "vector", vectors("manifests.json"), ids=lambda v: v["manifest"]["suite"]
)


def test_generator_reproduces_the_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.vectors.generate", tmp_path]
    subprocess.run(command, cwd=VECTORS.parents[1], check=True)
    made = {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    kept = {path.name: path.read_bytes() for path in VECTORS.glob("*.json")}
    assert len(made) == 6
    assert made == kept


def test_generator_is_independent() -> None:
    imported, seen = {"tests.vectors.generate"}, set()
    while unread := {n for n in imported if n.startswith("tests.vectors.")} - seen:
        module = unread.pop()
        seen.add(module)
        imported |= _imported(VECTORS / f"{module.rpartition('.')[2]}.py")
    assert {name.rpartition(".")[2] for name in seen} == {
        "generate",
        "primitives",
        "stored",
    }
    foreign = {name.split(".")[0] for name in imported - seen}
    assert foreign - set(sys.stdlib_module_names) == {"cryptography"}


def _imported(source: Path) -> set[str]:
    """The full names of what a module imports."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or "."
            # `from tests.vectors import stored` names a module by its last part.
            inside = module == "tests.vectors"
            names |= {f"{module}.{a.name}" if inside else module for a in node.names}
    return names


def test_encodings() -> None:
    cases = vectors("encoding.json")
    for case in cases["lp"]:
        assert encoding.lp(bytes.fromhex(case["data"])).hex() == case["lp"]
    for case in cases["H"]:
        parts = [bytes.fromhex(part) for part in case["parts"]]
        assert encoding.H(*parts).hex() == case["hash"]
    for case in cases["v8"]:
        assert str(encoding.v8(bytes.fromhex(case["data"]))) == case["uuid"]
    for case in cases["b64u"]:
        assert encoding.b64u(bytes.fromhex(case["data"])) == case["text"]
        assert encoding.unb64u(case["text"]).hex() == case["data"]


def test_text_enters_the_hash_as_utf8() -> None:
    assert encoding.H("é", b"x") == encoding.H("é".encode(), b"x")


@IDENTIFIERS
def test_identifiers(vector: dict[str, Any]) -> None:
    e, suite, style = vector["election"], vector["suite"], vector["style"]
    m = bytes.fromhex(vector["manifest_hash"])
    kid = identifiers.key_id(suite, bytes.fromhex(vector["public_key"]))
    assert kid.hex() == vector["key_id"]
    k_iss = bytes.fromhex(vector["issuance_key"])
    for token in vector["tokens"]:
        b = identifiers.bearer(k_iss, e, m, token["voter"], token["counter"])
        assert str(b) == token["bearer"]
        assert str(identifiers.token_id(e, m, b)) == token["token_id"]
        t = identifiers.token_tag(e, m, b)
        assert t.hex() == token["token_tag"]
        info = identifiers.ballot_info(e, m, style, suite, kid, t)
        assert info.hex() == token["info"]
    ciphertext = bytes.fromhex(vector["ciphertext"])
    c = identifiers.ciphertext_hash(suite, kid, style, ciphertext)
    assert c.hex() == vector["ciphertext_hash"]


@MANIFESTS
def test_manifests(vector: dict[str, Any]) -> None:
    document = vector["manifest"]
    assert encoding.jcs(document).decode() == vector["canonical"]
    assert identifiers.manifest_hash(document).hex() == vector["manifest_hash"]
    assert manifest.manifest_text(document) == vector["text"]
    key = notes.SigningKey.parse(vectors("notes.json")["keys"][0]["signer"])
    signed = manifest.sign_manifest(document, key)
    assert signed["note"] == vector["note"]
    assert manifest.dump_signed(signed).decode() == vector["file"]
    loaded = manifest.load_signed(vector["file"].encode())
    assert manifest.open_manifest(loaded, key.verifier.text()) == document


@MANIFESTS
def test_public_key_of_private_key(vector: dict[str, Any]) -> None:
    suite = SUITES[vector["manifest"]["suite"]]
    public = suite.public_of(bytes.fromhex(vector["private_key"]))
    assert manifest.election_key(vector["manifest"]).public == public
    suite.check_public(public)


@BALLOTS
def test_ballot_bytes(vector: dict[str, Any]) -> None:
    document = vectors("manifests.json")[0]["manifest"]
    checked = ballot.check_selections(document, vector["style"], vector["selections"])
    encoded = ballot.encode_selections(checked)
    assert encoded.decode() == vector["encoded"]
    assert ballot.pad(encoded, 128).hex() == vector["padded"]
    assert ballot.unpad(bytes.fromhex(vector["padded"])) == encoded


@BALLOTS
def test_sealed_ballot_opens(vector: dict[str, Any]) -> None:
    opened = ballot.open_ballot(
        bytes.fromhex(vector["private_key"]),
        vectors("manifests.json")[0]["manifest"],
        vector["style"],
        bytes.fromhex(vector["t"]),
        bytes.fromhex(vector["payload"]),
    )
    assert opened == vector["selections"]


@BALLOTS
def test_leaf_and_receipt(vector: dict[str, Any]) -> None:
    document = vectors("manifests.json")[0]["manifest"]
    m = identifiers.manifest_hash(document)
    key = manifest.election_key(document)
    payload = bytes.fromhex(vector["payload"])
    c = identifiers.ciphertext_hash(key.suite.id, key.kid, vector["style"], payload)
    t = identifiers.token_tag(document["id"], m, uuid.UUID(vector["bearer"]))
    assert (c.hex(), t.hex()) == (vector["c"], vector["t"])
    record = leaf.leaf_bytes(c, document["id"], m, t)
    assert record.decode() == vector["leaf"]
    assert leaf.parse_leaf(record) == (c, document["id"], m, t)
    assert leaf.receipt_hash(record) == vector["receipt_hash"]
    origin, _ = manifest.receipt_key(document)
    text = receipt.receipt_text(origin, m, leaf.leaf_hash(record))
    assert text == vector["receipt_text"]
    box = notes.SigningKey.parse(vectors("notes.json")["keys"][1]["signer"])
    note = receipt.sign_receipt(box, origin, m, record)
    assert note == vector["receipt_note"]
    assert receipt.answer_bytes(record, note).decode() == vector["answer"]


@BALLOTS
def test_answer_verifies(vector: dict[str, Any]) -> None:
    verified = verify.verify_receipt(
        vector["answer"].encode(),
        manifest=vectors("manifests.json")[0]["manifest"],
        bearer=uuid.UUID(vector["bearer"]),
        style=vector["style"],
        payload=bytes.fromhex(vector["payload"]),
    )
    assert verified.receipt_hash == vector["receipt_hash"]
    assert verified.leaf.decode() == vector["leaf"]


def test_keys_and_notes() -> None:
    cases = vectors("notes.json")
    for case in cases["keys"]:
        key = notes.SigningKey(case["name"], bytes.fromhex(case["seed"]))
        assert key.text() == case["signer"]
        assert key.verifier.text() == case["verifier"]
        assert key.verifier.key_id.hex() == case["key_id"]
        assert notes.SigningKey.parse(case["signer"]) == key
        assert notes.VerifierKey.parse(case["verifier"]) == key.verifier
    authority = notes.SigningKey.parse(cases["keys"][0]["signer"])
    for case in cases["notes"]:
        assert notes.sign(case["text"], authority) == case["note"]
        opened = notes.open(case["note"], authority.verifier)
        assert opened == (case["text"], (authority.verifier,))
