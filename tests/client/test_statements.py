"""`votepyramid verify-absence` and `verify-none-issued`, with files alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from tests.protocol.support import ORIGIN, make_election
from votepyramid.cli import main
from votepyramid.protocol import notes, statements
from votepyramid.protocol.absence import TagTree, absence_bytes
from votepyramid.protocol.identifiers import manifest_hash, token_tag
from votepyramid.protocol.manifest import dump_signed, sign_manifest
from votepyramid.protocol.notes import SigningKey
from votepyramid.protocol.statements import ClosingStatement, NoneIssued, TreeHead
from votepyramid.protocol.suites import X25519

BEARER = "018f2b6e-7c1a-8f00-9000-0123456789ab"


class Ended(NamedTuple):
    """A finished election, in a folder of files."""

    folder: Path
    key: SigningKey
    m: bytes
    authority: str
    statement: ClosingStatement
    tree: TagTree
    tag: bytes

    def write(self, name: str, data: bytes | str) -> None:
        path = self.folder / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())

    def run(self, *words: str, **more: str) -> Result:
        pins = {"manifest": "manifest.json", "authority": self.authority, **more}
        given = [f"--{name}={value}" for name, value in pins.items() if value]
        return CliRunner().invoke(main, [*words, *given])

    def absence(self, *words: str, **more: str) -> Result:
        closing = {"closing": "closing.txt", **more}
        return self.run("verify-absence", "proof.json", *words, **closing)

    def none(self, voter: str = "voter-1", **more: str) -> Result:
        return self.run("verify-none-issued", "answer.json", f"--voter={voter}", **more)


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ended:
    monkeypatch.chdir(tmp_path)
    key = notes.generate(f"{ORIGIN}/statements")
    made = make_election(X25519.id)
    manifest = {**made.manifest, "signers": {"statements": key.verifier.text()}}
    m = manifest_hash(manifest)
    tree = TagTree(hashlib.sha256(b"%d" % n).digest() for n in range(9))
    tags, log = TreeHead(9, tree.root), TreeHead(9, bytes(range(32)))
    statement = ClosingStatement(ORIGIN, m, 20, 12, 9, 9, log, tags)
    tag = token_tag("demo", m, UUID(BEARER))
    authority = made.authority.verifier.text()
    election = Ended(tmp_path, key, m, authority, statement, tree, tag)
    signed = sign_manifest(manifest, made.authority)
    election.write("manifest.json", dump_signed(signed))
    election.write("closing.txt", statements.sign_closing(statement, key))
    election.write("proof.json", absence_bytes(tree.prove_absence(tag)))
    election.write("token.txt", f"{BEARER}\n")
    nonce = bytes(range(1, 33))
    none = NoneIssued(
        ORIGIN, m, statements.none_issued_commitment("demo", m, nonce, "voter-1")
    )
    note = statements.sign_none_issued(none, key)
    answer = {"statement": note, "nonce": nonce.hex()}
    election.write("answer.json", json.dumps(answer))
    return election


def failed(result: Result, match: str) -> None:
    assert result.exit_code == 1, result.output
    assert match in result.output
    assert "Traceback" not in result.output and not isinstance(
        result.exception, ValueError
    )


def test_no_vote_stands_under_a_token(ended: Ended) -> None:
    by_tag = ended.absence(f"--tag={ended.tag.hex()}")
    by_token = ended.absence("--token-file=token.txt")
    for done in (by_tag, by_token):
        assert done.exit_code == 0, done.output
        assert f"No vote stands under the tag {ended.tag.hex()}" in done.stdout
        assert BEARER not in done.output
    pinned = ended.absence(
        "--token-file=token.txt",
        "--json",
        authority="",
        **{"manifest-hash": ended.m.hex()},
    )
    assert json.loads(pinned.stdout) == {
        "status": "valid",
        "tag": ended.tag.hex(),
        "votes": 9,
    }


def test_what_does_not_hold_is_named(ended: Ended) -> None:
    token = "--token-file=token.txt"
    recorded = hashlib.sha256(b"0").hexdigest()
    failed(ended.absence(f"--tag={recorded}"), "proof:")
    failed(ended.absence(), "no tag")
    failed(ended.absence("--tag=ABC"), "the tag or token")
    failed(ended.absence(token, authority=""), "nothing to check the manifest against")
    other = notes.generate("authority.example").verifier.text()
    failed(ended.absence(token, authority=other), "not trusted")
    failed(ended.absence(token, closing="none.txt"), "cannot read none.txt")
    lying = replace(ended.statement, eligible=3)
    for note, said in (
        (notes.sign(lying.text(), ended.key), "counts:"),
        (
            notes.sign(ended.statement.text(), notes.generate(ended.key.name)),
            "known key",
        ),
        (
            statements.sign_closing(replace(ended.statement, m=bytes(32)), ended.key),
            "of ",
        ),
        ("\udcff".encode("utf-8", "surrogateescape"), "UTF-8"),
        (b"x" * 20_000, "longer"),
    ):
        ended.write("closing.txt", note)
        failed(ended.absence(token), said)
    ended.write("closing.txt", statements.sign_closing(ended.statement, ended.key))
    for proof in (b"", b"{}", b"null", b'{"left":null,"right":null,"v":1}'):
        ended.write("proof.json", proof)
        failed(ended.absence(token), "proof:")


def test_no_token_was_issued_to_a_voter(ended: Ended) -> None:
    done = ended.none()
    assert done.exit_code == 0, done.output
    assert "issued no token to this voter" in done.stdout
    failed(ended.none("voter-2"), "voter:")
    failed(ended.none(""), "voter:")
    answer: dict[str, Any] = json.loads((ended.folder / "answer.json").read_bytes())
    for change, said in (
        ({"nonce": "0" * 64}, "voter:"),
        ({"nonce": "0"}, "64 lowercase hex"),
        ({"nonce": None}, "64 lowercase hex"),
        ({"statement": 7}, "exactly statement and nonce"),
        ({"more": 1}, "exactly statement and nonce"),
        ({"statement": (ended.folder / "closing.txt").read_text()}, "statement:"),
    ):
        ended.write("answer.json", json.dumps({**answer, **change}))
        failed(ended.none(), said)
    ended.write("answer.json", b"\xff")
    failed(ended.none(), "not UTF-8")
