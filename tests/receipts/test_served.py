"""What we serve, judged by published verifiers that share no code with us."""

from __future__ import annotations

import base64
import random
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.protocol.support import flip
from tests.receipts.conftest import Office
from tests.receipts.reading import Reader, cast
from tests.support import needs
from tests.support.sequencing import grow
from tests.support.voting import assert_problem
from tests.verifiers.aics import Tool
from tests.verifiers.asking import Asked
from tests.verifiers.judging import Judge
from votepyramid.protocol import merkle
from votepyramid.protocol.leaf import leaf_hash
from votepyramid.protocol.tiles import (
    Bundle,
    Tile,
    bundles_of_growth,
    tiles_of_growth,
)
from votepyramid.protocol.tlogproof import TlogProof

# The first build of the judge compiles Go's own cryptography as well.
pytestmark = [needs.needs("go"), pytest.mark.timeout(600)]
FOR_EVER = "public, max-age=31536000, immutable"


def entries(number: int) -> list[bytes]:
    return [b"entry %d" % index for index in range(number)]


def keys(reader: Reader) -> dict[str, Any]:
    """What the judge must know: from the signed manifest alone."""
    return {"origin": reader.key.name, "key": reader.key.text(), "witnesses": []}


def consistency(reader: Reader, old: int | str, new: int | str) -> httpx2.Response:
    return reader.get(f"log/consistency/{old}/{new}")


@pytest.fixture(scope="module")
def verifiers(judge: Judge, tool: Tool) -> list[Asked]:
    return [judge, tool.asked]


def test_the_log_as_served_is_accepted_and_every_changed_byte_refused(
    office: Office, reader: Reader, verifiers: list[Asked], judge: Judge, tmp_path: Path
) -> None:
    grow(reader.door.election, office.folder, entries(254))
    cast(reader, 0, 1, 2)
    office.sequence()
    head = reader.download(tmp_path)
    assert head.size == 257
    assert judge.accepts_log(tmp_path, **keys(reader))
    note = (tmp_path / "checkpoint").read_bytes()
    asked = {**keys(reader), "size": head.size, "root": head.root, "dir": str(tmp_path)}
    files = [
        file.path for file in (*tiles_of_growth(0, 257), *bundles_of_growth(0, 257))
    ]
    assert len(files) == 5
    for each in verifiers:
        assert each.accepted_changes("checkpoint", data=note, **keys(reader)) == []
        for path in files:
            # What is hashed does not care which bit it was.
            assert each.accepted_changes("file", b"\x01", path=path, **asked) == []


def test_a_proof_as_served_is_accepted_and_every_changed_byte_refused(
    office: Office, reader: Reader, verifiers: list[Asked], judge: Judge
) -> None:
    grow(reader.door.election, office.folder, entries(40))
    mine, other = cast(reader, 0, 1)
    office.sequence()
    served = reader.get(f"receipt/{mine.receipt_hash}/proof").content
    leaf = bytes.fromhex(mine.receipt_hash)
    assert judge.accepts_proof(served, leaf, **keys(reader))
    another = bytes.fromhex(other.receipt_hash)
    assert not judge.accepts_proof(served, another, **keys(reader))
    asked = {**keys(reader), "leaf": leaf, "data": served}
    assert judge.accepted_changes("proof", **asked) == []
    # aics-tlog reads no such file: it gets what is in it.
    proof, head = TlogProof.parse(served), reader.checkpoint()
    hashes = b"".join([head.root, leaf, *proof.hashes])
    asked = {"index": proof.index, "size": head.size, "data": hashes}
    for each in verifiers:
        assert each.accepted_changes("inclusion", **asked) == []


def test_growth_as_served_is_accepted_and_every_changed_bit_refused(
    office: Office, reader: Reader, verifiers: list[Asked]
) -> None:
    made = entries(300)
    grow(reader.door.election, office.folder, made)
    hashes = [leaf_hash(one) for one in made]
    for old in (1, 256, 299):
        lines = consistency(reader, old, 300).text.splitlines()
        roots = [merkle.root(hashes), merkle.root(hashes[:old])]
        data = b"".join([*roots, *map(base64.b64decode, lines)])
        asked: dict[str, Any] = {"old": old, "size": 300, "data": data}
        for each in verifiers:
            assert each.accepted_changes("consistency", **asked) == []


def test_growth_between_any_two_sizes(
    office: Office, reader: Reader, judge: Judge
) -> None:
    size, chosen = 530, random.Random(4)
    made = entries(size)
    grow(reader.door.election, office.folder, made)
    hashes = [leaf_hash(one) for one in made]
    edges = [0, 1, 2, 3, 4, 255, 256, 257, 511, 512, 513, size]
    pairs = {(old, new) for old in edges for new in edges if old <= new}
    while len(pairs) < 200:
        new = chosen.randrange(size + 1)
        pairs.add((chosen.randrange(new + 1), new))
    for old, new in pairs:
        answer = consistency(reader, old, new)
        assert answer.headers["Cache-Control"] == FOR_EVER
        proof = [base64.b64decode(line) for line in answer.text.splitlines()]
        roots = merkle.root(hashes[:old]), merkle.root(hashes[:new])
        merkle.verify_consistency(old, new, proof, *roots)
        # Go's tlog knows no growth from nothing.
        if old and proof:
            for case in (proof, [flip(proof[0], 3), *proof[1:]], proof[:-1]):
                assert judge.ask(
                    "consistency",
                    old=old,
                    size=new,
                    hashes=case,
                    old_root=roots[0],
                    root=roots[1],
                ) == dict.fromkeys(("merkle", "tlog"), case == proof), (old, new)


def test_sizes_that_give_no_proof(office: Office, reader: Reader) -> None:
    assert_problem(consistency(reader, 0, 0), 404, "not_found")
    grow(reader.door.election, office.folder, entries(5))
    assert consistency(reader, 0, 5).text == consistency(reader, 5, 5).text == ""
    for old, new in ((5, 4), ("01", 5), ("-1", 5), ("a", 5), (0, "5.0"), (0, 2**63)):
        assert_problem(consistency(reader, old, new), 400, "malformed")
    assert_problem(consistency(reader, 0, 6), 404, "not_found")
    assert_problem(consistency(reader, 0, 2**63 - 1), 404, "not_found")


def test_how_long_caches_keep_what_is_served(office: Office, reader: Reader) -> None:
    grow(reader.door.election, office.folder, entries(300))
    for part in (Tile(0, 0), Bundle(0), Tile(0, 1, 44), Bundle(1, 44), Tile(1, 0, 1)):
        answer = reader.get(f"log/{part.path}")
        # A partial tile's width is in its path: that, too, never changes.
        assert answer.headers["Cache-Control"] == FOR_EVER, part
        assert answer.headers["Content-Type"] == "application/octet-stream"
    checkpoint = reader.get("log/checkpoint").headers
    assert checkpoint["Cache-Control"] == "public, max-age=2"
    # What is not there yet may be there soon.
    for rest in ("log/tile/0/001", "log/consistency/0/301"):
        assert reader.get(rest).headers["Cache-Control"] == "no-store"
