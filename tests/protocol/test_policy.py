"""Whom to trust: C2SP's example, malformed files, and what a quorum is."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.protocol.support import ORIGIN
from votepyramid.protocol import checkpoint, cosignature, notes, policy
from votepyramid.protocol.checkpoint import Checkpoint, CheckpointError
from votepyramid.protocol.cosignature import CosignatureError, WitnessKey
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.notes import NoteError, SigningKey
from votepyramid.protocol.policy import Group, Policy, PolicyError


def _key(name: str) -> SigningKey:
    """The same in every test process: keys stand in the names of tests."""
    return SigningKey(name, hashlib.sha256(name.encode()).digest())


LOG = _key(ORIGIN)
SIGNERS = [_key(f"witness.example/{n}") for n in range(6)]
KEYS = [WitnessKey.of(signer.verifier) for signer in SIGNERS]
V = [key.text() for key in KEYS]
HEAD = Checkpoint(ORIGIN, 5, bytes(range(32)))
NOTE = checkpoint.sign_checkpoint(HEAD, LOG)
# The example of C2SP tlog-policy, with keys.
EXAMPLE = f"""\
log {LOG.verifier.text()}

witness X1 {V[0]}
witness X2 {V[1]}
witness X3 {V[2]}
group X-witnesses 2 X1 X2 X3

witness Y1 {V[3]}
witness Y2 {V[4]}
witness Y3 {V[5]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def signed(*numbers: int) -> str:
    lines = (cosignature.cosign(NOTE, SIGNERS[n], 1_700_000_000 + n) for n in numbers)
    return NOTE + "".join(lines)


def test_published_example() -> None:
    rules = Policy.parse(EXAMPLE.encode())
    assert [log.key for log in rules.logs] == [LOG.verifier]
    assert [(w.name, w.key) for w in rules.witnesses] == list(
        zip(("X1", "X2", "X3", "Y1", "Y2", "Y3"), KEYS, strict=True)
    )
    assert rules.groups == (
        Group("X-witnesses", 2, ("X1", "X2", "X3")),
        Group("Y-witnesses", 1, ("Y1", "Y2", "Y3")),
        Group("X-and-Y", 2, ("X-witnesses", "Y-witnesses")),
    )
    assert rules.quorum == "X-and-Y"


@pytest.mark.parametrize(
    ("numbers", "enough"),
    [
        ((), False),
        ((0, 1), False),
        ((0, 3), False),
        ((3, 4, 5), False),
        ((0, 2, 4), True),
        ((0, 1, 2, 3, 4, 5), True),
        ((0, 0, 4), False),
    ],
)
def test_quorum_of_groups(numbers: tuple[int, ...], enough: bool) -> None:
    rules = Policy.parse(EXAMPLE.encode())
    assert rules.satisfied_by({KEYS[n] for n in numbers}) == enough
    if enough:
        opened = rules.open(signed(*numbers), ORIGIN)
        assert opened.checkpoint == HEAD
        assert opened.times == {KEYS[n]: 1_700_000_000 + n for n in numbers}
    else:
        with pytest.raises(PolicyError, match="too few"):
            rules.open(signed(*numbers), ORIGIN)


def test_k_of_n() -> None:
    rules = Policy.k_of_n(2, KEYS[:3], [LOG.verifier])
    assert rules.open(signed(0, 2), ORIGIN).checkpoint == HEAD
    for note in (NOTE, signed(1), signed(1, 5), signed(1, 1)):
        with pytest.raises(PolicyError, match="too few"):
            rules.open(note, ORIGIN)
    none = Policy.k_of_n(0, (), [LOG.verifier])
    assert none.open(NOTE, ORIGIN).times == {}
    for k, n in ((-1, 3), (4, 3), (1, 0)):
        with pytest.raises(PolicyError):
            Policy.k_of_n(k, KEYS[:n])


def test_only_trusted_logs() -> None:
    rules = Policy.k_of_n(0, KEYS[:1], [LOG.verifier])
    with pytest.raises(PolicyError, match="trust"):
        rules.open(NOTE, "other.example")
    with pytest.raises(PolicyError, match="trust"):
        Policy.k_of_n(0, KEYS[:1]).open(NOTE, ORIGIN)
    other = notes.generate(ORIGIN)
    with pytest.raises(NoteError):
        Policy.k_of_n(0, (), [other.verifier]).open(NOTE, ORIGIN)
    # A log's key does not sign for another log that the policy trusts as well.
    second = notes.generate("log.example/2")
    both = Policy.k_of_n(0, (), [LOG.verifier, second.verifier])
    with pytest.raises(NoteError):
        both.open(checkpoint.sign_checkpoint(HEAD, second), ORIGIN)
    named = notes.sign(HEAD.text().replace(ORIGIN, "x"), LOG)
    with pytest.raises(CheckpointError):
        both.open(named, ORIGIN)


def test_a_known_witnesss_wrong_line_refuses_the_checkpoint() -> None:
    rules = Policy.k_of_n(1, KEYS[:2], [LOG.verifier])
    other = checkpoint.sign_checkpoint(Checkpoint(ORIGIN, 6, bytes(32)), LOG)
    wrong = signed(0) + cosignature.cosign(other, SIGNERS[1], 1)
    with pytest.raises(CosignatureError):
        rules.open(wrong, ORIGIN)


def test_spaces_comments_addresses_and_opaque_names() -> None:
    data = (
        f"\n# comment\n\t # another \xe9\n\twitness \t w\u212a  {V[0]}"
        "   https://w.example/  \n\n  quorum\tw\u212a"
    )
    rules = Policy.parse(data.encode())
    (witness,) = rules.witnesses
    assert (witness.name, witness.url) == ("w\u212a", "https://w.example/")
    opaque = f"witness w\x80 {V[0]}\nquorum w\x80\n".encode("latin-1")
    assert Policy.parse(opaque).data() == opaque
    words = f"witness all {V[0]}\nwitness any {V[1]}\ngroup group 2 all any\n"
    assert Policy.parse(f"{words}quorum group\n".encode()).quorum == "group"
    assert Policy.parse(b"quorum none\n") == Policy()


def test_files_round_trip() -> None:
    data = (
        f"log {LOG.verifier.text()} https://log.example/\n"
        f"witness w1 {V[0]} https://w.example/\nwitness w2 {V[1]}\n"
        "group g 1 w1 w2\nquorum g\n"
    ).encode()
    rules = Policy.parse(data)
    assert rules.data() == data
    for other in (Policy.parse(EXAMPLE.encode()), Policy.k_of_n(2, KEYS)):
        assert Policy.parse(other.data()) == other


RENAMED = WitnessKey("other.example", KEYS[0].public).text()
MLDSA = base64.b64encode(b"\x06" + bytes(1312)).decode()
MLDSA_ID = hashlib.sha256(b"w\n\x06" + bytes(1312)).hexdigest()[:8]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("quorum none\n\x01", "control"),
        ("quorum none\r\n", "control"),
        ("quorum none\x7f\n", "control"),
        ("", "exactly one quorum"),
        ("quibble w1\nquorum none\n", "line 1"),
        (f"witness w1 {V[0]} https://w # comment\nquorum w1\n", "not a log"),
        ("log\nquorum none\n", "not a log"),
        ("log garbage\nquorum none\n", "line 1"),
        (f"log {V[0]}\nquorum none\n", "Ed25519 key"),
        (f"log {LOG.verifier.text()} a b\nquorum none\n", "not a log"),
        (f"log {LOG.verifier.text()}\n" * 2 + "quorum none\n", "twice"),
        ("witness w1\nquorum none\n", "not a log"),
        (f"witness w1 {LOG.verifier.text()}\nquorum w1\n", "cosignatures"),
        (f"witness w1 w+{MLDSA_ID}+{MLDSA}\nquorum w1\n", "cosignatures"),
        (f"witness none {V[0]}\nquorum none\n", "not `none`"),
        (f"witness w1 {V[0]}\nwitness w1 {V[1]}\nquorum w1\n", "defined twice"),
        (f"witness w1 {V[0]}\nwitness w2 {RENAMED}\nquorum w1\n", "listed twice"),
        (f"witness w1 {V[0]}\ngroup w1 any w1\nquorum w1\n", "defined twice"),
        (f"witness w1 {V[0]}\ngroup g 1\nquorum w1\n", "not a log"),
        (f"witness w1 {V[0]}\ngroup none any w1\nquorum none\n", "not `none`"),
        (f"witness w1 {V[0]}\ngroup g 0 w1\nquorum g\n", "threshold"),
        (f"witness w1 {V[0]}\ngroup g -1 w1\nquorum g\n", "threshold"),
        (f"witness w1 {V[0]}\ngroup g 01 w1\nquorum g\n", "threshold"),
        (f"witness w1 {V[0]}\ngroup g \u0661 w1\nquorum g\n", "threshold"),
        (f"witness w1 {V[0]}\ngroup g 2 w1\nquorum g\n", "threshold"),
        (f"witness w1 {V[0]}\ngroup g any w2\nquorum g\n", "not defined"),
        (f"group g any w1\nwitness w1 {V[0]}\nquorum g\n", "not defined"),
        (f"witness w1 {V[0]}\ngroup g any g\nquorum g\n", "not defined"),
        (f"witness w1 {V[0]}\ngroup g any none w1\nquorum g\n", "not defined"),
        (f"witness w1 {V[0]}\ngroup g all w1 w1\nquorum g\n", "more than once"),
        (
            f"witness w1 {V[0]}\ngroup g any w1\ngroup h any w1\nquorum g\n",
            "more than once",
        ),
        (f"witness w1 {V[0]}\n", "exactly one quorum"),
        (f"witness w1 {V[0]}\nquorum w1\nquorum w1\n", "exactly one quorum"),
        ("quorum unknown\n", "not defined"),
        (f"quorum w1\nwitness w1 {V[0]}\n", "not defined"),
        ("quorum\n", "not a log"),
        ("quorum none none\n", "not a log"),
        ("#" * 70_000 + "\nquorum none\n", "over"),
    ],
)
def test_files_that_are_no_policy(text: str, problem: str) -> None:
    with pytest.raises(ProtocolError, match=problem):
        Policy.parse(text.encode())


def test_values_no_policy_has() -> None:
    one = (policy.Witness("w", KEYS[0]),)
    for groups, quorum in (
        ((), "w2"),
        ((Group("g", 1, ("g",)),), "g"),
        ((Group("g", 1, ("h",)), Group("h", 1, ("w",))), "g"),
        ((Group("g", 0, ("w",)),), "g"),
        ((Group("a b", 1, ("w",)),), "w"),
        ((Group("", 1, ("w",)),), "w"),
    ):
        with pytest.raises(PolicyError):
            Policy(witnesses=one, groups=groups, quorum=quorum)
    many = [WitnessKey(f"w{n}", bytes([n]) * 32) for n in range(65)]
    with pytest.raises(PolicyError, match="more than"):
        Policy.k_of_n(1, many)
    assert Policy.k_of_n(64, many[:64])
