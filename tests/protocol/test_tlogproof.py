"""Proofs to keep: canonical files, and every change of one refused."""

from __future__ import annotations

import base64
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.protocol.support import ORIGIN, flip, thorough
from tests.protocol.trees import leaf_hashes, reader
from votepyramid.protocol import checkpoint, cosignature, merkle, notes, tlogproof
from votepyramid.protocol.checkpoint import Checkpoint
from votepyramid.protocol.cosignature import WitnessKey
from votepyramid.protocol.policy import Policy
from votepyramid.protocol.tlogproof import TlogProof, TlogProofError

LOG, WITNESS = notes.generate(ORIGIN), notes.generate("witness.example/w1")
POLICY = Policy.k_of_n(1, [WitnessKey.of(WITNESS.verifier)], [LOG.verifier])
SIZE = 70


@cache
def note(size: int = SIZE) -> str:
    head = Checkpoint(ORIGIN, size, merkle.root(leaf_hashes(size)))
    signed = checkpoint.sign_checkpoint(head, LOG)
    return signed + cosignature.cosign(signed, WITNESS, 1_700_000_000)


def make(index: int, extra: bytes | None = None) -> TlogProof:
    path = merkle.inclusion_proof(index, SIZE, reader(leaf_hashes(SIZE)))
    return TlogProof(index, tuple(path), note(), extra)


def verify(proof: TlogProof, index: int) -> Checkpoint:
    leaf = leaf_hashes(SIZE)[index]
    return tlogproof.verify_proof(proof, leaf, ORIGIN, POLICY).checkpoint


@pytest.mark.parametrize("extra", [None, b"x", bytes(16 * 1024)])
def test_every_entry_has_a_proof(extra: bytes | None) -> None:
    for index in range(SIZE):
        proof = make(index, extra)
        assert TlogProof.parse(proof.data()) == proof
        assert verify(proof, index).size == SIZE


def test_the_file_is_the_specifications() -> None:
    proof = make(3, b"context")
    lines = proof.data().decode().split("\n")
    assert lines[:3] == [
        "c2sp.org/tlog-proof@v1",
        "extra " + base64.b64encode(b"context").decode(),
        "index 3",
    ]
    assert lines[3] == base64.b64encode(leaf_hashes(SIZE)[2]).decode()
    assert "\n".join(lines[lines.index("") + 1 :]) == note()
    only = TlogProof(0, (), note(1))
    assert only.data().decode() == f"c2sp.org/tlog-proof@v1\nindex 0\n\n{note(1)}"


def test_every_byte_of_a_proof_counts() -> None:
    proof = make(37)
    data = proof.data()
    for at in range(len(data)):
        for mask in (0x01, 0x04, 0x20, 0x80):
            with pytest.raises(TlogProofError):
                verify(TlogProof.parse(flip(data, at, mask)), 37)


def test_each_failure_says_which_check_failed() -> None:
    proof = make(37)
    leaf = leaf_hashes(SIZE)[37]
    other = Policy.k_of_n(0, (), [notes.generate(ORIGIN).verifier])
    bare = TlogProof(37, proof.hashes, note().rpartition("\N{EM DASH}")[0])
    wrong = TlogProof(38, proof.hashes, note())
    for case, origin, rules, check in (
        (proof, ORIGIN, other, "checkpoint"),
        (proof, ORIGIN + "2", POLICY, "checkpoint"),
        (bare, ORIGIN, POLICY, "checkpoint"),
        (TlogProof(37, proof.hashes, "junk"), ORIGIN, POLICY, "checkpoint"),
        (TlogProof(37, proof.hashes, note(69)), ORIGIN, POLICY, "inclusion"),
        (wrong, ORIGIN, POLICY, "inclusion"),
        (TlogProof(37, proof.hashes[1:], note()), ORIGIN, POLICY, "inclusion"),
        (TlogProof(SIZE, proof.hashes, note()), ORIGIN, POLICY, "inclusion"),
    ):
        with pytest.raises(TlogProofError) as failed:
            tlogproof.verify_proof(case, leaf, origin, rules)
        assert failed.value.check == check
    with pytest.raises(TlogProofError) as failed:
        tlogproof.verify_proof(proof, leaf_hashes(SIZE)[36], ORIGIN, POLICY)
    assert failed.value.check == "inclusion"
    bare_rules = Policy.k_of_n(0, (), [LOG.verifier])
    assert tlogproof.verify_proof(bare, leaf, ORIGIN, bare_rules).times == {}


HASH = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v1\n\nnote\n",
        "c2sp.org/tlog-proof@v2\nindex 0\n\nnote\n",
        "c2sp.org/tlog-proof@v1 \nindex 0\n\nnote\n",
        "c2sp.org/tlog-proof@v1\r\nindex 0\r\n\r\nnote\r\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n\n",
        "c2sp.org/tlog-proof@v1\nindex 00\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nindex -5\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nindex x\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nindex\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nindex {2**63 - 1}\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nextra \nindex 0\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nextra !!\nindex 0\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nextra eA\nindex 0\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nindex 0\nextra eA==\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nextra eA==\nextra eA==\nindex 0\n\nnote\n",
        "c2sp.org/tlog-proof@v1\nextra eA==\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH[:-4]}\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH[:-2]}B=\n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH} \n\nnote\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n{(HASH + chr(10)) * 64}\nnote\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n\n{'x' * 65_537}",
        f"c2sp.org/tlog-proof@v1\nextra {'A' * 21_852}\nindex 0\n\nnote\n",
    ],
)
def test_files_that_are_no_proof(text: str) -> None:
    with pytest.raises(TlogProofError) as failed:
        TlogProof.parse(text.encode())
    assert failed.value.check == "format"


def test_a_file_of_any_length_is_refused_at_once() -> None:
    with pytest.raises(TlogProofError, match="a proof is over"):
        TlogProof.parse(make(0).data() + bytes(tlogproof.MAX_PROOF_BYTES))


@thorough
@given(st.binary(max_size=60), st.text("0A=\nindex extra", max_size=30))
@example(b"index 0\n\n\xff", "")
def test_a_file_is_refused_or_the_only_one(tail: bytes, text: str) -> None:
    for part in (tail, text.encode() + b"\n\n" + tail, b"index " + text.encode()):
        data = b"c2sp.org/tlog-proof@v1\n" + part
        try:
            assert TlogProof.parse(data).data() == data
        except TlogProofError as error:
            assert error.check == "format"


def test_values_no_proof_has() -> None:
    for index, hashes, text, extra in (
        (-1, (), "n", None),
        (2**63 - 1, (), "n", None),
        (0, (bytes(31),), "n", None),
        (0, (bytes(32),) * 64, "n", None),
        (0, (), "", None),
        (0, (), "n" * 65_537, None),
        (0, (), "n", b""),
        (0, (), "n", bytes(16 * 1024 + 1)),
    ):
        with pytest.raises(TlogProofError):
            TlogProof(index, hashes, text, extra)
