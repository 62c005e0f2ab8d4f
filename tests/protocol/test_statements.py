"""What is stated at an election's close, and to a voter who never had a token."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.support import ORIGIN, flip, relaxed, thorough
from votepyramid.protocol import checkpoint, notes, statements
from votepyramid.protocol.checkpoint import Checkpoint
from votepyramid.protocol.encoding import NotCanonical, ProtocolError
from votepyramid.protocol.merkle import EMPTY_ROOT
from votepyramid.protocol.notes import NoteError
from votepyramid.protocol.statements import (
    ClosingStatement,
    NoneIssued,
    StatementError,
    TreeHead,
)

KEY = notes.generate(f"{ORIGIN}/statements")
OTHER = notes.generate(f"{ORIGIN}/log")
M = bytes(range(32))
LOG, TAGS = TreeHead(3, b"\x01" * 32), TreeHead(3, b"\x02" * 32)
CLOSING = ClosingStatement(ORIGIN, M, 7, 5, 3, 3, LOG, TAGS)
CLOSING_NOTE = statements.sign_closing(CLOSING, KEY)
K_ISS, NONCE = b"\x07" * 32, b"\x08" * 32
NONE = NoneIssued(
    ORIGIN, M, statements.none_issued_commitment("demo", M, NONCE, "voter-1")
)
NONE_NOTE = statements.sign_none_issued(NONE, KEY)


def test_what_is_signed_at_the_close() -> None:
    """The text, written out."""
    assert CLOSING.text() == (
        f"evote/closing/v1\n{ORIGIN}\n{M.hex()}\n"
        "eligible 7\nissued 5\nused 3\nvotes 3\n"
        f"log 3 {base64.b64encode(LOG.root).decode()}\n"
        f"tags 3 {base64.b64encode(TAGS.root).decode()}\n"
    )
    assert statements.open_closing(CLOSING_NOTE, ORIGIN, M, KEY.verifier) == CLOSING


def test_what_is_signed_to_a_voter() -> None:
    """The commitment and the nonce, made by hand."""

    def lp(data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + data

    named = lp(b"evote/none-issued/v1") + lp(b"demo") + lp(M)
    nonce = hmac.digest(K_ISS, named + lp(b"voter-1"), "sha256")
    assert statements.none_issued_nonce(K_ISS, "demo", M, "voter-1") == nonce
    commitment = hashlib.sha256(named + lp(NONCE) + lp(b"voter-1")).digest()
    shown = base64.b64encode(commitment).decode()
    assert NONE.text() == f"evote/none-issued/v1\n{ORIGIN}\n{M.hex()}\n{shown}\n"
    assert statements.open_none_issued(NONE_NOTE, ORIGIN, M, KEY.verifier) == NONE


def test_only_its_holder_can_show_whose_it_is() -> None:
    NONE.check_holder("demo", NONCE, "voter-1")
    for e, nonce, voter in (
        ("demo2", NONCE, "voter-1"),
        ("demo", flip(NONCE, 5), "voter-1"),
        ("demo", NONCE, "voter-2"),
    ):
        with pytest.raises(StatementError, match="not those"):
            NONE.check_holder(e, nonce, voter)
    for e, nonce, voter in (("demo", NONCE[1:], "v"), ("demo", NONCE, "")):
        with pytest.raises(NotCanonical):
            NONE.check_holder(e, nonce, voter)
    for k_iss, m, voter in ((K_ISS[1:], M, "v"), (K_ISS, M[1:], "v"), (K_ISS, M, "")):
        with pytest.raises(NotCanonical):
            statements.none_issued_nonce(k_iss, "demo", m, voter)
    names = [("demo", M, "v1"), ("demo", M, "v2"), ("demo", flip(M, 0), "v1")]
    made = {statements.none_issued_nonce(K_ISS, *name) for name in names}
    assert len(made) == 3


@pytest.mark.parametrize(
    ("note", "reading"),
    [
        (CLOSING_NOTE, statements.open_closing),
        (NONE_NOTE, statements.open_none_issued),
    ],
)
def test_of_another_election_key_or_kind(
    note: str, reading: Callable[..., Any]
) -> None:
    with pytest.raises(NoteError, match="no known key"):
        reading(note, ORIGIN, M, OTHER.verifier)
    for origin, m in ((ORIGIN + "/2", M), (ORIGIN, flip(M, 31))):
        with pytest.raises(StatementError, match="another election"):
            reading(note, origin, m, KEY.verifier)
    head = checkpoint.sign_checkpoint(Checkpoint(KEY.name, 5, M), KEY)
    other = ({CLOSING_NOTE, NONE_NOTE} - {note}).pop()
    for wrong in (head, other, notes.sign("evote/closing/v1\n", KEY)):
        with pytest.raises(StatementError, match="lines"):
            reading(wrong, ORIGIN, M, KEY.verifier)
    long = note + "\N{EM DASH} x " + base64.b64encode(bytes(20_000)).decode() + "\n"
    with pytest.raises(StatementError, match="over"):
        reading(long, ORIGIN, M, KEY.verifier)


@pytest.mark.parametrize(
    ("note", "reading"),
    [
        (CLOSING_NOTE, statements.open_closing),
        (NONE_NOTE, statements.open_none_issued),
    ],
)
def test_every_byte_of_a_statement_counts(
    note: str, reading: Callable[..., Any]
) -> None:
    data = note.encode()
    for at in range(len(data)):
        for mask in (0x01, 0x20, 0x80):
            changed = flip(data, at, mask).decode("utf-8", "surrogateescape")
            with pytest.raises(ProtocolError):
                reading(changed, ORIGIN, M, KEY.verifier)


ROOT = base64.b64encode(LOG.root).decode()
TEXT = CLOSING.text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        TEXT[:-1],
        TEXT + "\n",
        TEXT + "votes 3\n",
        TEXT.replace("/v1\n", "/v2\n"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace(ORIGIN, ""),
        TEXT.replace(ORIGIN, "a b"),
        TEXT.replace(ORIGIN, "a+b"),
        TEXT.replace(M.hex(), M.hex().upper()),
        TEXT.replace(M.hex(), M.hex()[:-2]),
        TEXT.replace("eligible 7\n", ""),
        TEXT.replace("eligible 7", "eligible 07"),
        TEXT.replace("eligible 7", "eligible +7"),
        TEXT.replace("eligible 7", "eligible -7"),
        TEXT.replace("eligible 7", "eligible  7"),
        TEXT.replace("eligible 7", "eligible 7 "),
        TEXT.replace("eligible 7", "Eligible 7"),
        TEXT.replace("eligible 7", "eligible \u0667"),
        TEXT.replace("eligible 7", f"eligible {2**63}"),
        TEXT.replace("eligible 7", f"eligible {'9' * 4000}"),
        TEXT.replace("eligible 7\nissued 5\n", "issued 5\neligible 7\n"),
        TEXT.replace("log 3", "log 03"),
        TEXT.replace("log 3", "log 0"),
        TEXT.replace("log 3", "log"),
        TEXT.replace(ROOT, ROOT[:-1]),
        TEXT.replace(ROOT, ROOT[:-4]),
        TEXT.replace(ROOT, ROOT[:-2] + "F="),
        TEXT.replace(ROOT, base64.urlsafe_b64encode(b"\xff" * 32).decode()),
        TEXT.replace(ORIGIN, "x" * 20_000),
    ],
)
def test_texts_that_are_no_closing_statement(text: str) -> None:
    assert text != TEXT
    with pytest.raises(StatementError):
        ClosingStatement.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        NONE.text()[:-1],
        NONE.text() + "\n",
        NONE.text() + "x\n",
        NONE.text().replace("=\n", "\n"),
        NONE.text().replace("none-issued", "None-issued"),
        NONE.text().replace(M.hex(), M.hex() + "00"),
        NONE.text().replace(ORIGIN, "a\tb"),
    ],
)
def test_texts_that_are_no_statement_to_a_voter(text: str) -> None:
    with pytest.raises(StatementError):
        NoneIssued.parse(text)


@thorough
@given(st.text("a0= \n17+-/" + ROOT[:6], max_size=60), st.integers(0, len(TEXT)))
def test_a_text_is_refused_or_the_only_one(piece: str, at: int) -> None:
    for kind, whole in ((ClosingStatement, TEXT), (NoneIssued, NONE.text())):
        for text in (piece, whole[:at] + piece, whole[:at] + piece + whole[at:]):
            try:
                assert kind.parse(text).text() == text
            except StatementError:
                continue


COUNT = st.integers(0, 2**63 - 1)
HEAD = st.builds(
    TreeHead, st.integers(1, 2**63 - 1), st.binary(min_size=32, max_size=32)
)


@relaxed
@given(COUNT, COUNT, COUNT, COUNT, HEAD, HEAD | st.just(TreeHead(0, EMPTY_ROOT)))
def test_statements_round_trip(
    eligible: int, issued: int, used: int, votes: int, log: TreeHead, tags: TreeHead
) -> None:
    made = ClosingStatement(ORIGIN, M, eligible, issued, used, votes, log, tags)
    assert ClosingStatement.parse(made.text()) == made
    agrees = eligible >= issued >= used == votes == log.size == tags.size
    try:
        statements.sign_closing(made, KEY)
    except StatementError:
        assert not agrees
    else:
        assert agrees


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"eligible": 4}, "eligible"),
        ({"issued": 2}, "than issued"),
        ({"used": 4}, "used tokens"),
        ({"votes": 2}, "used tokens"),
        ({"log": TreeHead(2, M)}, "leaves in the log as votes"),
        ({"tags": TreeHead(4, M)}, "tags as leaves"),
    ],
)
def test_numbers_that_disagree_are_not_signed(
    change: dict[str, Any], said: str
) -> None:
    wrong = replace(CLOSING, **change)
    with pytest.raises(StatementError, match=said):
        statements.sign_closing(wrong, KEY)
    # Signed all the same, it is read as what it is, so that its lie can be shown.
    note = notes.sign(wrong.text(), KEY)
    assert statements.open_closing(note, ORIGIN, M, KEY.verifier) == wrong


def test_an_election_without_a_vote() -> None:
    nothing = TreeHead(0, EMPTY_ROOT)
    empty = ClosingStatement(ORIGIN, M, 0, 0, 0, 0, nothing, nothing)
    note = statements.sign_closing(empty, KEY)
    assert statements.open_closing(note, ORIGIN, M, KEY.verifier) == empty


def test_values_no_statement_has() -> None:
    for size, root in ((-1, M), (2**63, M), (1, M[1:]), (0, M), (True, M)):
        with pytest.raises(StatementError):
            TreeHead(size, root)
    for change in (
        {"origin": "a b"},
        {"origin": "a\nb"},
        {"m": M[1:]},
        {"eligible": -1},
        {"votes": 2**63},
        {"used": True},
    ):
        with pytest.raises(StatementError):
            replace(CLOSING, **change)
    for values in (("", M, M), (ORIGIN, M[1:], M), (ORIGIN, M, M + b"x")):
        with pytest.raises(StatementError):
            NoneIssued(*values)
