"""Checkpoints, witnesses' cosignatures, and what is said to a witness."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.protocol.support import ORIGIN, flip, relaxed, thorough
from votepyramid.protocol import checkpoint, cosignature, merkle, notes, witness
from votepyramid.protocol.checkpoint import Checkpoint, CheckpointError
from votepyramid.protocol.cosignature import CosignatureError, WitnessKey
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.notes import NoteError
from votepyramid.protocol.witness import AddCheckpoint, WitnessError

LOG = notes.generate(ORIGIN)
W1, W2 = notes.generate("witness.example/w1"), notes.generate("witness.example/w2")
K1, K2 = WitnessKey.of(W1.verifier), WitnessKey.of(W2.verifier)
HEAD = Checkpoint(ORIGIN, 5, bytes(range(32)))
NOTE = checkpoint.sign_checkpoint(HEAD, LOG)
NOW = 1_700_000_000
# The example of C2SP tlog-checkpoint and of tlog-cosignature, made by others.
PUBLISHED = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "\N{EM DASH} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurm"
    "RDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "\N{EM DASH} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeol"
    "MI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
# The key of a witness that has long been in public use.
PUBLISHED_WITNESS = (
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
)


def test_published_checkpoint_is_read() -> None:
    head = checkpoint.read_unverified(PUBLISHED)
    assert (head.origin, head.size) == ("example.com/behind-the-sofa", 20852163)
    assert head.text() == PUBLISHED.partition("\n\n")[0] + "\n"
    assert head.root.hex().startswith("0ac5186a91863e8e")


def test_published_cosignature_has_its_time_and_place() -> None:
    _, (_, line) = notes.split(PUBLISHED)
    assert line.name == "witness.example.com/w1"
    assert int.from_bytes(line.signature[:8], "big") == 1679315147
    assert len(line.signature) == 72


def test_published_witness_key() -> None:
    key = WitnessKey.parse(PUBLISHED_WITNESS)
    assert key.text() == PUBLISHED_WITNESS
    assert key.key_id.hex() == "da77ade7"


def test_round_trip() -> None:
    assert NOTE.startswith(f"{ORIGIN}\n5\nAAECAwQF")
    assert checkpoint.open_checkpoint(NOTE, ORIGIN, LOG.verifier) == HEAD
    assert checkpoint.read_unverified(NOTE) == HEAD
    empty = Checkpoint(ORIGIN, 0, merkle.EMPTY_ROOT)
    assert Checkpoint.parse(empty.text()) == empty


def test_of_another_log_or_key() -> None:
    with pytest.raises(CheckpointError, match="another log"):
        checkpoint.open_checkpoint(NOTE, ORIGIN + "/2", LOG.verifier)
    with pytest.raises(NoteError, match="no known key"):
        checkpoint.open_checkpoint(NOTE, ORIGIN, W1.verifier)
    with pytest.raises(NoteError):
        checkpoint.open_checkpoint(NOTE, ORIGIN, notes.generate(ORIGIN).verifier)
    receipt = notes.sign("evote/receipt/v1\nfoo\nbar\n", LOG)
    with pytest.raises(CheckpointError):
        checkpoint.open_checkpoint(receipt, ORIGIN, LOG.verifier)


def test_every_byte_of_a_checkpoint_counts() -> None:
    data = NOTE.encode()
    for at in range(len(data)):
        for mask in (0x01, 0x20, 0x80):
            changed = flip(data, at, mask).decode("utf-8", "surrogateescape")
            with pytest.raises(ProtocolError):
                checkpoint.open_checkpoint(changed, ORIGIN, LOG.verifier)


ROOT = base64.b64encode(bytes(range(32))).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"a\n5\n{ROOT}",
        f"a\n{ROOT}\n",
        f"\n5\n{ROOT}\n",
        f"a\n05\n{ROOT}\n",
        f"a\n+5\n{ROOT}\n",
        f"a\n5 \n{ROOT}\n",
        f"a\n\u0665\n{ROOT}\n",
        f"a\n{2**63}\n{ROOT}\n",
        f"a\n{'9' * 4000}\n{ROOT}\n",
        f"a\n-1\n{ROOT}\n",
        f"a\n0\n{ROOT}\n",
        f"a\n5\n{ROOT[:-1]}\n",
        f"a\n5\n{ROOT[:-4]}\n",
        f"a\n5\n{ROOT[:-2]}9=\n",
        f"a\n5\n{ROOT.replace('A', '-', 1)}\n",
        f"a\n5\n{ROOT}\n\n",
        f"a\n5\n{ROOT}\n\nx\n",
        f"a\r\n5\r\n{ROOT}\r\n",
        f"a\n5\n{ROOT}\n{'x' * 5000}\n",
    ],
)
def test_texts_that_are_no_checkpoint(text: str) -> None:
    with pytest.raises(CheckpointError):
        Checkpoint.parse(text)


@thorough
@given(st.text("a5\n0=" + ROOT[:6], max_size=80))
@example(f"a\n5\n{ROOT}\nx\n")
def test_a_text_is_refused_or_the_only_one(text: str) -> None:
    for attempt in (text, f"a\n5\n{ROOT}\n{text}", f"a\n{text}\n{ROOT}\n"):
        try:
            assert Checkpoint.parse(attempt).text() == attempt
        except CheckpointError:
            continue


def test_extension_lines_are_read_and_never_made() -> None:
    foreign = notes.sign(HEAD.text() + "timestamp 1\n", LOG)
    head = checkpoint.open_checkpoint(foreign, ORIGIN, LOG.verifier)
    assert head.extensions == ("timestamp 1",)
    assert head.text() == HEAD.text() + "timestamp 1\n"
    with pytest.raises(CheckpointError, match="extension"):
        checkpoint.sign_checkpoint(head, LOG)
    line = cosignature.cosign(foreign, W1, NOW)
    assert cosignature.cosigners(foreign + line, K1) == {K1: NOW}
    dropped = NOTE + line
    with pytest.raises(CosignatureError):
        cosignature.cosigners(dropped, K1)


def test_values_no_checkpoint_has() -> None:
    for origin, size, root in (
        ("", 1, bytes(32)),
        ("a\nb", 1, bytes(32)),
        ("a", -1, bytes(32)),
        ("a", 2**63, bytes(32)),
        ("a", 1, bytes(31)),
        ("a", 0, bytes(32)),
    ):
        with pytest.raises(CheckpointError):
            Checkpoint(origin, size, root)
    with pytest.raises(CheckpointError):
        Checkpoint("a", 1, bytes(32), ("",))
    with pytest.raises(CheckpointError, match="name"):
        checkpoint.sign_checkpoint(Checkpoint("a b", 1, bytes(32)), LOG)
    long = NOTE + "\N{EM DASH} x " + base64.b64encode(bytes(60_000)).decode() + "\n"
    for reading in (
        lambda: checkpoint.read_unverified(long),
        lambda: checkpoint.open_checkpoint(long, ORIGIN, LOG.verifier),
    ):
        with pytest.raises(CheckpointError, match="over"):
            reading()


def test_cosignatures() -> None:
    lines = [cosignature.cosign(NOTE, key, NOW + n) for n, key in enumerate((W1, W2))]
    together = NOTE + "".join(lines)
    assert cosignature.cosigners(together, K1, K2) == {K1: NOW, K2: NOW + 1}
    assert cosignature.cosigners(together, K2) == {K2: NOW + 1}
    assert cosignature.cosigners(NOTE, K1, K2) == {}
    again = together + cosignature.cosign(NOTE, W1, NOW + 9)
    assert cosignature.cosigners(again, K1, K2) == {K1: NOW + 9, K2: NOW + 1}
    back = again + cosignature.cosign(NOTE, W1, NOW - 9)
    assert cosignature.cosigners(back, K1) == {K1: NOW + 9}
    # The log's reader does not mind them.
    assert checkpoint.open_checkpoint(again, ORIGIN, LOG.verifier) == HEAD


def test_what_a_witness_signs() -> None:
    """The message, written out from the specification."""
    blob = base64.b64decode(cosignature.cosign(NOTE, W1, NOW).split(" ")[2])
    assert blob[:4] == K1.key_id != W1.verifier.key_id
    assert blob[4:12] == NOW.to_bytes(8, "big")
    message = f"cosignature/v1\ntime {NOW}\n{ORIGIN}\n5\n{ROOT}\n".encode()
    assert W1.verifier.verify(message, blob[12:])


def test_every_byte_of_a_cosignature_counts() -> None:
    line = cosignature.cosign(NOTE, W1, NOW).encode()
    for at in range(len(line)):
        for mask in (0x01, 0x20, 0x80):
            changed = flip(line, at, mask).decode("utf-8", "surrogateescape")
            try:
                found = cosignature.cosigners(NOTE + changed, K1)
            except ProtocolError:
                continue
            # Under another name or key id it is a stranger's line, which is ignored.
            assert found == {}


def test_a_note_signature_is_no_cosignature_nor_the_other_way() -> None:
    plain = checkpoint.sign_checkpoint(HEAD, LOG, W1)
    assert cosignature.cosigners(plain, K1) == {}
    cosigned = NOTE + cosignature.cosign(NOTE, W1, NOW)
    with pytest.raises(NoteError, match="no known key"):
        notes.open(cosigned, W1.verifier)


def test_a_known_witnesss_wrong_line_refuses_the_note() -> None:
    other = checkpoint.sign_checkpoint(Checkpoint(ORIGIN, 6, bytes(32)), LOG)
    wrong = NOTE + cosignature.cosign(other, W1, NOW)
    assert cosignature.cosigners(wrong, K2) == {}
    with pytest.raises(CosignatureError):
        cosignature.cosigners(wrong, K1, K2)
    _, (_, good) = notes.split(NOTE + cosignature.cosign(NOTE, W1, NOW))
    short = good._replace(signature=good.signature[:-1])
    long = good._replace(signature=good.signature + b"x")
    tiny = good._replace(signature=b"x")
    future = notes.SignatureLine(K1.name, K1.key_id, b"\xff" * 72)
    text = HEAD.text()
    late = f"cosignature/v1\ntime {2**63}\n{text}".encode()
    beyond = good._replace(signature=(2**63).to_bytes(8, "big") + W1.sign(late))
    for line in (short, long, tiny, future, beyond):
        with pytest.raises(CosignatureError):
            cosignature.cosigners(NOTE + notes.signature_line(line), K1)
    with pytest.raises(CosignatureError, match="share"):
        cosignature.cosigners(NOTE + cosignature.cosign(NOTE, W1, NOW), K1, K1)


def test_times_and_notes_no_witness_signs() -> None:
    for time in (-1, 2**63):
        with pytest.raises(CosignatureError):
            cosignature.cosign(NOTE, W1, time)
    assert cosignature.cosign(NOTE, W1, 2**63 - 1)
    with pytest.raises(CheckpointError):
        cosignature.cosign(notes.sign("no checkpoint\n", LOG), W1, NOW)


def test_a_witnesss_answer_is_taken_over() -> None:
    stranger = notes.generate("witness.example/x")
    line = cosignature.cosign(NOTE, W1, NOW)
    answer = cosignature.cosign(NOTE, stranger, NOW) + line
    taken = cosignature.add_cosignatures(NOTE, answer, K1, K2)
    assert taken == NOTE + line
    assert cosignature.add_cosignatures(taken, line, K1) == taken
    for bad in ("", cosignature.cosign(NOTE, stranger, NOW)):
        with pytest.raises(CosignatureError, match="no known"):
            cosignature.add_cosignatures(NOTE, bad, K1)
    wrong = cosignature.cosign(checkpoint.sign_checkpoint(HEAD, LOG), W2, NOW)
    forged = wrong.replace(W2.name, W1.name)
    other = Checkpoint(ORIGIN, 6, bytes(32))
    of_other = cosignature.cosign(checkpoint.sign_checkpoint(other, LOG), W1, NOW)
    for bad in (
        forged,
        of_other,
        line[:-1],
        "\n" + line,
        "\n" + answer,
        f"x\n\n{line}",
        "nonsense\n",
        notes.signature_line(notes.SignatureLine("x", b"1234", bytes(60_000))) + line,
    ):
        with pytest.raises(ProtocolError):
            cosignature.add_cosignatures(NOTE, bad, K1)


def test_witness_keys_have_one_spelling() -> None:
    text = K1.text()
    name, key_id, encoded = text.split("+", 2)
    assert WitnessKey.parse(text) == K1
    for bad in (
        "",
        name,
        f"{name}+{key_id}",
        f"{name}+00000000+{encoded}",
        f"{name}x+{key_id}+{encoded}",
        f"{name}+{key_id}+{encoded}=",
        f"{name}+{key_id}+{encoded[:-4]}",
        f"a b+{key_id}+{encoded}",
        f"{name}+{key_id}+" + base64.b64encode(b"\6" + K1.public).decode(),
        f"{name}+{key_id}+" + base64.b64encode(b"\4" + K1.public + b"x").decode(),
        W1.verifier.text(),
        W1.text(),
    ):
        with pytest.raises(ProtocolError):
            WitnessKey.parse(bad)
    with pytest.raises(NoteError):
        WitnessKey("a b", bytes(32))
    with pytest.raises(NoteError):
        WitnessKey("a", bytes(31))


HASHES = tuple(bytes([n]) * 32 for n in range(63))
PUBLISHED_REQUEST = (
    "old 20852014\n"
    "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
    "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n"
    "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n"
    "\n" + PUBLISHED
).encode()


def test_published_request() -> None:
    request = AddCheckpoint.parse(PUBLISHED_REQUEST)
    assert (request.old, len(request.proof)) == (20852014, 4)
    assert request.claimed().size == 20852163
    assert request.body() == PUBLISHED_REQUEST


@relaxed
@given(st.integers(0, 2**63 - 1), st.integers(0, 63))
def test_requests_round_trip(old: int, hashes: int) -> None:
    request = AddCheckpoint(old, HASHES[:hashes], NOTE)
    assert AddCheckpoint.parse(request.body()) == request


def test_requests_that_are_refused() -> None:
    body = AddCheckpoint(5, HASHES[:2], NOTE).body()
    for bad in (
        b"",
        body.replace(b"old 5", b"old 05"),
        body.replace(b"old 5", b"old -5"),
        body.replace(b"old 5", b"old"),
        body.replace(b"old 5", b"Old 5"),
        body.replace(b"old 5\n", b"old 5\r\n"),
        body.replace(b"old 5\n", b""),
        body.replace(b"AAA=", b"AAB="),
        body.replace(b"AAA=", b"AAA"),
        body.replace(b"AAA=\n", b"AAA=\nAAAA\n"),
        body.partition(b"\n\n")[0],
        b"\n" + body,
        body + b"\xff",
        b"5" + body.partition(b"old 5")[2],
        body.replace(b"AQEB\n", b"AQEB\n\n"),
        b"old 5\n" + (base64.b64encode(bytes(32)) + b"\n") * 64 + b"\n" + NOTE.encode(),
        b"old 5\n\n" + notes.sign("text\n", LOG).encode(),
    ):
        if bad != body:
            with pytest.raises(ProtocolError):
                AddCheckpoint.parse(bad)
    with pytest.raises(WitnessError, match="request is over"):
        AddCheckpoint.parse(body + b" " * witness.MAX_REQUEST_BYTES)
    for old, proof in ((-1, ()), (2**63, ()), (1, (bytes(31),)), (1, (*HASHES, b""))):
        with pytest.raises(WitnessError):
            AddCheckpoint(old, proof, NOTE)
    with pytest.raises(WitnessError, match="more than"):
        AddCheckpoint(1, (*HASHES, bytes(32)), NOTE)


def test_sizes_of_a_conflict() -> None:
    for size in (0, 20852014, 2**63 - 1):
        assert witness.parse_size(witness.size_body(size)) == size
    assert witness.size_body(7) == b"7\n"
    for bad in (
        b"",
        b"7",
        b"77",
        b"07\n",
        b"7\n\n",
        b" 7\n",
        b"\xff\n",
        b"9" * 40 + b"\n",
    ):
        with pytest.raises(WitnessError):
            witness.parse_size(bad)
    for number in (-1, 2**63):
        with pytest.raises(WitnessError):
            witness.size_body(number)
