"""Signed manifests: who signed what, and which manifests can be used."""

from __future__ import annotations

import contextlib
import copy
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.protocol.support import contest, election
from votepyramid.protocol import ballot, manifest, notes
from votepyramid.protocol.encoding import ProtocolError, b64u, jcs
from votepyramid.protocol.identifiers import key_id, manifest_hash
from votepyramid.protocol.manifest import ManifestError
from votepyramid.protocol.suites import SUITES

X25519 = "x25519-hkdf-sha256-aes256gcm"
XWING = "xwing-hkdf-sha256-aes256gcm"
DEMO = election(X25519)
AUTHORITY = DEMO.authority
SIGNED = manifest.sign_manifest(DEMO.manifest, AUTHORITY)


def test_open_with_the_authority_or_the_pin() -> None:
    assert manifest.open_manifest(SIGNED, AUTHORITY.verifier) == DEMO.manifest
    assert manifest.open_manifest(SIGNED, AUTHORITY.verifier.text()) == DEMO.manifest
    assert manifest.open_pinned(SIGNED, manifest_hash(DEMO.manifest)) == DEMO.manifest
    data = manifest.dump_signed(SIGNED)
    assert manifest.load_signed(data) == SIGNED


def test_other_signers_are_refused() -> None:
    other = notes.generate("authority.example")
    for key in (other.verifier, DEMO.box.verifier, "not a key"):
        with pytest.raises(ManifestError) as caught:
            manifest.open_manifest(SIGNED, key)
        assert caught.value.path == "note"
    with pytest.raises(ManifestError):
        manifest.open_pinned(SIGNED, bytes(32))


def test_changed_manifest_is_refused() -> None:
    for field, value in (("title", "x"), ("id", "other"), ("extra", 1)):
        changed = {**SIGNED, "manifest": {**DEMO.manifest, field: value}}
        with pytest.raises(ManifestError, match="another manifest"):
            manifest.open_manifest(changed, AUTHORITY.verifier)
        with pytest.raises(ManifestError):
            manifest.open_pinned(changed, manifest_hash(DEMO.manifest))


def test_notes_for_other_purposes_are_refused() -> None:
    digest = manifest_hash(DEMO.manifest).hex()
    for text in (
        f"evote/manifest/v2\ndemo\n{digest}\n",
        f"evote/manifest/v1\ndemo\n{digest}\nmore\n",
        f"evote/manifest/v1\ndemo\n{digest.upper()}\n",
        f"evote/manifest/v1\ndem0\n{digest}\n",
    ):
        changed = {**SIGNED, "note": notes.sign(text, AUTHORITY)}
        with pytest.raises(ManifestError, match="another manifest"):
            manifest.open_manifest(changed, AUTHORITY.verifier)


@pytest.mark.parametrize(
    "signed",
    [
        None,
        [],
        {},
        {"manifest": DEMO.manifest},
        {**SIGNED, "extra": 1},
        {**SIGNED, "note": None},
        {**SIGNED, "manifest": []},
        {**SIGNED, "manifest": {"a": 2**53}},
        {**SIGNED, "manifest": {}},
    ],
)
def test_malformed_files(signed: Any) -> None:
    with pytest.raises(ManifestError):
        manifest.open_manifest(signed, AUTHORITY.verifier)
    with pytest.raises(ManifestError):
        manifest.open_pinned(signed, manifest_hash(DEMO.manifest))


def test_load_refuses_lenient_json() -> None:
    for data in (b"", b"{}", b'{"manifest":{},"manifest":{},"note":""}', b"\xff"):
        with pytest.raises(ProtocolError):
            manifest.load_signed(data)


def test_accessors() -> None:
    assert manifest.style(DEMO.manifest, "w9")["plaintext_length"] == 128
    assert manifest.plaintext_length(DEMO.manifest, "w9") == 128
    assert manifest.ciphertext_length(DEMO.manifest, "w9") == 128 + 48
    hybrid = election(XWING).manifest
    assert manifest.ciphertext_length(hybrid, "w9") == 128 + 1136
    assert [c["id"] for c in manifest.contests(DEMO.manifest, "w9")] == [
        "mayor",
        "measure-1",
    ]
    origin, key = manifest.receipt_key(DEMO.manifest)
    assert (origin, key) == ("votepyramid.example/demo", DEMO.box.verifier)


def replace(*path: str | int, value: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = value

    return change


def new_key(suite_id: str, public: bytes) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        document["public_key"] = b64u(public)
        document["key_id"] = key_id(suite_id, public).hex()

    return change


PROBLEMS: list[tuple[str, Callable[[Any], None]]] = [
    ("version", replace("version", value=2)),
    ("version", replace("version", value=True)),
    ("id", replace("id", value="Demo")),
    ("id", replace("id", value=None)),
    ("public_key", replace("suite", value="rot13")),
    ("public_key", replace("suite", value=XWING)),
    ("public_key", replace("public_key", value="AAAA")),
    ("public_key", replace("public_key", value=None)),
    ("public_key", new_key(X25519, bytes(32))),
    ("key_id", replace("key_id", value="00" * 32)),
    ("public_key", replace("key_id", value="00")),
    ("receipts", replace("receipts", value=None)),
    ("receipts/key", replace("receipts", "key", value="a+b+c")),
    ("receipts/origin", replace("receipts", "origin", value="a b")),
    ("contests", replace("contests", value={})),
    ("contests/1/id", replace("contests", 1, "id", value="mayor")),
    ("contests/0/id", replace("contests", 0, "id", value="Mayor")),
    ("contests/0/id", replace("contests", 0, value="mayor")),
    ("contests/0/ranks", replace("contests", 0, "ranks", value=0)),
    ("contests/0/ranks", replace("contests", 0, "ranks", value=65)),
    ("contests/0/ranks", replace("contests", 0, "ranks", value=True)),
    ("contests/0/ranks", replace("contests", 0, "ranks", value="3")),
    ("contests/0/choices", replace("contests", 0, "choices", value=[])),
    ("contests/0/choices/1/id", replace("contests", 0, "choices", 1, "id", value="c0")),
    ("styles/1/id", replace("styles", 1, "id", value="w9")),
    ("styles", replace("styles", value=[])),
    ("", replace("title", value="\ud800")),
    ("", replace("grace_seconds", value=2**53)),
    ("styles/0/contests", replace("styles", 0, "contests", value=[])),
    ("styles/0/contests", replace("styles", 0, "contests", value=["mayor", "mayor"])),
    ("styles", replace("styles", 0, "contests", value=["senate"])),
    ("styles", replace("styles", 0, "contests", value=[["mayor"]])),
    ("styles/0/plaintext_length", replace("styles", 0, "plaintext_length", value=8)),
    (
        "styles/0/plaintext_length",
        replace("styles", 0, "plaintext_length", value=2**17),
    ),
    (
        "styles/0/plaintext_length",
        replace("styles", 0, "plaintext_length", value=128.0),
    ),
    ("styles/1/precincts", replace("styles", 1, "precincts", value=["W-9 P-01"])),
    ("styles/1/precincts", replace("styles", 1, "precincts", value=["a", "a"])),
    ("styles/1/precincts", replace("styles", 1, "precincts", value=[""])),
    ("styles/1/precincts", replace("styles", 1, "precincts", value=[1])),
    ("styles/1/precincts", replace("styles", 1, "precincts", value=None)),
]


@pytest.mark.parametrize(("path", "change"), PROBLEMS)
def test_unusable_manifests(path: str, change: Callable[[Any], None]) -> None:
    document = copy.deepcopy(DEMO.manifest)
    change(document)
    with pytest.raises(ManifestError) as caught:
        manifest.check_manifest(document)
    assert caught.value.path == path
    with pytest.raises(ManifestError):
        manifest.sign_manifest(document, AUTHORITY)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[Any]:
    """The path of every node of a JSON value."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*path, index))


MARKS: ballot.Selections = {"mayor": [[], [], []], "measure-1": [[]]}
STRANGE: list[Any] = [None, True, -1, 2**60, 1.5, "", "\ud800", "x", [], [[]], {}]


@pytest.mark.parametrize("strange", STRANGE, ids=repr)
def test_any_strange_part_fails_in_one_way(strange: Any) -> None:
    for path in places(DEMO.manifest):
        if not path:
            continue
        document = copy.deepcopy(DEMO.manifest)
        replace(*path, value=strange)(document)
        signed = {**SIGNED, "manifest": document}
        with pytest.raises(ManifestError):
            manifest.open_manifest(signed, AUTHORITY.verifier)
        with contextlib.suppress(ManifestError):
            manifest.check_manifest(document)
            ballot.seal_ballot(document, "w9", uuid.UUID(int=1), MARKS)


def test_signing_refuses_and_opening_checks_again() -> None:
    """An authority that signed an unusable manifest is not believed either."""
    broken = {**DEMO.manifest, "contests": [contest("mayor", 0, 1)]}
    note = notes.sign(manifest.manifest_text(broken), AUTHORITY)
    signed = {"manifest": broken, "note": note}
    with pytest.raises(ManifestError, match="contests/0/ranks"):
        manifest.open_manifest(signed, AUTHORITY.verifier)
    with pytest.raises(ManifestError, match="contests/0/ranks"):
        manifest.open_pinned(signed, manifest_hash(broken))


@pytest.mark.parametrize("suite_id", SUITES)
def test_manifest_hash_is_of_the_canonical_json(suite_id: str) -> None:
    document = election(suite_id).manifest
    reordered = dict(reversed(document.items()))
    assert jcs(reordered) == jcs(document)
    assert manifest_hash(reordered) == manifest_hash(document)
