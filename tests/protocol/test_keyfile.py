"""Key files: the right passphrase and purpose, or one kind of error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.support import flip, relaxed
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.keyfile import (
    DEFAULT_LOG2_N,
    KeyfileError,
    open_keyfile,
    seal_keyfile,
)

SECRET = bytes(range(32))
FILE = seal_keyfile(SECRET, "correct horse", "trustees", log2_n=10)


@relaxed
@given(st.binary(max_size=200), st.text(min_size=1, max_size=20))
def test_round_trip(secret: bytes, passphrase: str) -> None:
    data = seal_keyfile(secret, passphrase, "trustees", log2_n=10)
    assert open_keyfile(data, passphrase, "trustees") == secret


def test_default_cost_is_high() -> None:
    data = seal_keyfile(SECRET, "correct horse", "trustees")
    assert json.loads(data)["log2_n"] == DEFAULT_LOG2_N == 17
    assert open_keyfile(data, "correct horse", "trustees") == SECRET


def test_passphrase_and_purpose_are_bound() -> None:
    for passphrase in ("Correct horse", "correct horse ", "x"):
        with pytest.raises(KeyfileError, match="wrong passphrase"):
            open_keyfile(FILE, passphrase, "trustees")
    with pytest.raises(KeyfileError, match="purpose"):
        open_keyfile(FILE, "correct horse", "authority")
    relabelled = FILE.replace(b'"trustees"', b'"authority"')
    with pytest.raises(KeyfileError, match="was changed"):
        open_keyfile(relabelled, "correct horse", "authority")


def test_composed_and_decomposed_passphrases_are_one() -> None:
    data = seal_keyfile(SECRET, "caf\u00e9", "trustees", log2_n=10)
    assert open_keyfile(data, "cafe\u0301", "trustees") == SECRET


def test_every_byte_of_the_file_counts() -> None:
    for at in range(len(FILE) - 1):
        with pytest.raises(ProtocolError):
            open_keyfile(flip(FILE, at, 0x02), "correct horse", "trustees")


def test_sealing_twice_differs() -> None:
    again = seal_keyfile(SECRET, "correct horse", "trustees", log2_n=10)
    first, second = json.loads(FILE), json.loads(again)
    for field in ("salt", "nonce", "ciphertext"):
        assert first[field] != second[field]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("version", True),
        ("kdf", "none"),
        ("log2_n", 9),
        ("log2_n", 30),
        ("log2_n", True),
        ("log2_n", "10"),
        ("salt", "AAAA"),
        ("nonce", "AAAA"),
        ("nonce", None),
        ("ciphertext", ""),
        ("ciphertext", "A"),
        ("purpose", None),
        ("extra", 1),
    ],
)
def test_malformed_files(field: str, value: object) -> None:
    data = json.dumps({**json.loads(FILE), field: value}).encode()
    with pytest.raises(ProtocolError):
        open_keyfile(data, "correct horse", "trustees")


@given(st.binary())
def test_arbitrary_bytes_fail_in_one_way(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        open_keyfile(data, "correct horse", "trustees")


def test_refused_arguments() -> None:
    with pytest.raises(KeyfileError):
        seal_keyfile(SECRET, "", "trustees", log2_n=10)
    with pytest.raises(KeyfileError):
        open_keyfile(FILE, "", "trustees")
    for cost in (9, 21):
        with pytest.raises(KeyfileError):
            seal_keyfile(SECRET, "x", "trustees", log2_n=cost)
    with pytest.raises(ProtocolError):
        seal_keyfile(SECRET, "x", "Not an id", log2_n=10)
