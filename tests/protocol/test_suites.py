"""Suites: key handling and what they refuse."""

from __future__ import annotations

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.support import flip, relaxed
from votepyramid.protocol import suites

EACH = pytest.mark.parametrize("suite", suites.SUITES.values(), ids=lambda s: s.id)


@EACH
@relaxed
@given(plaintext=st.binary(max_size=600), info=st.binary(max_size=64))
def test_round_trip(suite: suites.Suite, plaintext: bytes, info: bytes) -> None:
    keys = suite.generate_private_key()
    sealed = suite.seal(keys.public, plaintext, info)
    assert len(sealed) == len(plaintext) + suite.overhead
    assert suite.open(keys.private, sealed, info) == plaintext
    assert suite.public_of(keys.private) == keys.public


@EACH
def test_sealing_twice_differs(suite: suites.Suite) -> None:
    keys = suite.generate_private_key()
    assert suite.seal(keys.public, b"x", b"") != suite.seal(keys.public, b"x", b"")
    assert keys != suite.generate_private_key()


@EACH
def test_every_byte_of_a_ciphertext_counts(suite: suites.Suite) -> None:
    keys = suite.generate_private_key()
    sealed = suite.seal(keys.public, b"plaintext", b"info")
    for at in range(len(sealed)):
        # The top bit too: X25519 ignores a point's, so HPKE must bind its bytes.
        for mask in (0x01, 0x80):
            with pytest.raises(suites.OpenError):
                suite.open(keys.private, flip(sealed, at, mask), b"info")
    for shorter in (b"", sealed[: suite.overhead - 1], sealed[:-1]):
        with pytest.raises(suites.OpenError):
            suite.open(keys.private, shorter, b"info")


@EACH
def test_another_key_does_not_open(suite: suites.Suite) -> None:
    keys, other = suite.generate_private_key(), suite.generate_private_key()
    sealed = suite.seal(keys.public, b"plaintext", b"info")
    with pytest.raises(suites.OpenError):
        suite.open(other.private, sealed, b"info")


@EACH
def test_keys_of_wrong_length(suite: suites.Suite) -> None:
    keys = suite.generate_private_key()
    for public in (b"", keys.public[:-1], keys.public + b"\0"):
        with pytest.raises(suites.SuiteError):
            suite.check_public(public)
    for private in (b"", keys.private[:-1], keys.private + b"\0"):
        with pytest.raises(suites.SuiteError):
            suite.public_of(private)


@EACH
def test_points_of_small_order_are_refused(suite: suites.Suite) -> None:
    keys = suite.generate_private_key()
    with pytest.raises(suites.SuiteError):
        suite.check_public(keys.public[:-32] + bytes(32))


def test_unreduced_lattice_key_is_refused() -> None:
    """FIPS 203, section 7.2: coefficients of an encapsulation key are below q."""
    keys = suites.XWING.generate_private_key()
    with pytest.raises(suites.SuiteError):
        suites.XWING.check_public(b"\xff" * 1184 + keys.public[1184:])


@EACH
def test_secrets_do_not_show(suite: suites.Suite) -> None:
    keys = suite.generate_private_key()
    shown = repr(keys) + str(keys) + f"{keys}"
    assert keys.private.hex() not in shown
    assert repr(keys.private)[2:-1] not in shown


def test_unknown_suites() -> None:
    for name in ("", "x25519", "X25519-HKDF-SHA256-AES256GCM", None, 3, ["a"]):
        with pytest.raises(suites.SuiteError):
            suites.get_suite(name)
    for name, suite in suites.SUITES.items():
        assert suites.get_suite(name) is suite


def test_missing_algorithm_is_said_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(_seed: bytes) -> None:
        raise UnsupportedAlgorithm("ML-KEM-768 is not supported by this backend.")

    monkeypatch.setattr(MLKEM768PrivateKey, "from_seed_bytes", unsupported)
    suites._missing.cache_clear()
    try:
        with pytest.raises(suites.SuiteUnavailable, match=r"OpenSSL 3\.5"):
            suites.XWING.generate_private_key()
    finally:
        suites._missing.cache_clear()
