"""HPKE suites for sealing ballots: single-shot base mode of RFC 9180.

A sealed ballot is `enc || ciphertext`. Everything is bound through `info`; `aad`
stays empty, as RFC 9180 section 8.1 advises for single-shot use. Keys travel as
raw bytes:

    suite                          private  public             enc    tag
    xwing-hkdf-sha256-aes256gcm    32 seed  1184 + 32          1120   16
    x25519-hkdf-sha256-aes256gcm   32       32                 32     16

X-Wing (KEM 0x647A) joins ML-KEM-768 and X25519, so that recorded ballots stay
sealed as long as either holds.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)

from votepyramid.protocol.encoding import ProtocolError

_MLKEM768_PUBLIC = 1184
_TAG = 16

_PublicKey = X25519PublicKey | hpke.MLKEM768X25519PublicKey
_PrivateKey = X25519PrivateKey | hpke.MLKEM768X25519PrivateKey


class SuiteError(ProtocolError):
    """A suite is unknown, or a key is not one of its keys."""


class SuiteUnavailable(SuiteError):
    """The installed cryptography library cannot run a suite."""


class OpenError(ProtocolError):
    """A sealed ballot does not open: wrong key, wrong binding or changed bytes."""


class KeyPair(NamedTuple):
    """Raw key bytes; `private` never shows in a representation."""

    private: bytes
    public: bytes

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public[:4].hex()}...)"


@dataclass(frozen=True)
class Suite(ABC):
    """One HPKE suite; lengths in bytes."""

    id: str
    kem_id: int
    kdf_id: int
    aead_id: int
    private_length: int
    public_length: int
    enc_length: int
    _kem: hpke.KEM = field(repr=False)

    @property
    def overhead(self) -> int:
        """How much longer a sealed ballot is than its plaintext."""
        return self.enc_length + _TAG

    @abstractmethod
    def _load_public(self, raw: bytes) -> _PublicKey: ...

    @abstractmethod
    def _load_private(self, raw: bytes) -> tuple[_PrivateKey, bytes]: ...

    @abstractmethod
    def _new_private(self) -> bytes: ...

    def require(self) -> None:
        """Raise SuiteUnavailable unless the installed library runs this suite."""
        if missing := _missing(self):
            raise SuiteUnavailable(missing)

    def generate_private_key(self) -> KeyPair:
        """A new random key pair."""
        self.require()
        private = self._new_private()
        return KeyPair(private, self.public_of(private))

    def public_of(self, private: bytes) -> bytes:
        """The raw public key of a raw private key. Raises SuiteError."""
        self.require()
        return self._private(private)[1]

    def check_public(self, public: bytes) -> None:
        """Raise SuiteError unless ballots can be sealed to this raw public key."""
        self.seal(public, b"", b"")

    def seal(self, public: bytes, plaintext: bytes, info: bytes) -> bytes:
        """`enc || ciphertext` of `plaintext`, bound to `info`. Raises SuiteError."""
        self.require()
        _check_length(self, "public", public, self.public_length)
        try:
            key = self._load_public(public)
            return self._hpke().encrypt(plaintext, key, info)
        except ValueError:
            # Also a point of small order, to which nothing can be sealed secretly.
            raise SuiteError(f"not a public key of suite {self.id}") from None

    def open(self, private: bytes, ciphertext: bytes, info: bytes) -> bytes:
        """The plaintext of `seal`. Raises OpenError, or SuiteError for the key."""
        self.require()
        key, _ = self._private(private)
        if len(ciphertext) < self.overhead:
            raise OpenError("a sealed ballot is too short for its suite")
        try:
            return self._hpke().decrypt(ciphertext, key, info)
        except (InvalidTag, ValueError):
            raise OpenError("a sealed ballot does not open") from None

    def _hpke(self) -> hpke.Suite:
        return hpke.Suite(self._kem, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)

    def _private(self, raw: bytes) -> tuple[_PrivateKey, bytes]:
        _check_length(self, "private", raw, self.private_length)
        return self._load_private(raw)


class _X25519Suite(Suite):
    """DHKEM(X25519, HKDF-SHA256), RFC 9180 section 4.1."""

    def _load_public(self, raw: bytes) -> _PublicKey:
        return X25519PublicKey.from_public_bytes(raw)

    def _load_private(self, raw: bytes) -> tuple[_PrivateKey, bytes]:
        key = X25519PrivateKey.from_private_bytes(raw)
        return key, key.public_key().public_bytes_raw()

    def _new_private(self) -> bytes:
        return X25519PrivateKey.generate().private_bytes_raw()


class _XWingSuite(Suite):
    """X-Wing, draft-connolly-cfrg-xwing-kem: the private key is a 32-byte seed."""

    def _load_public(self, raw: bytes) -> _PublicKey:
        return hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM768_PUBLIC]),
            X25519PublicKey.from_public_bytes(raw[_MLKEM768_PUBLIC:]),
        )

    def _load_private(self, raw: bytes) -> tuple[_PrivateKey, bytes]:
        expanded = hashlib.shake_256(raw).digest(96)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        public = (
            mlkem.public_key().public_bytes_raw()
            + x25519.public_key().public_bytes_raw()
        )
        return hpke.MLKEM768X25519PrivateKey(mlkem, x25519), public

    def _new_private(self) -> bytes:
        # X25519 keys are 32 bytes of the library's own random generator.
        return X25519PrivateKey.generate().private_bytes_raw()


XWING = _XWingSuite(
    id="xwing-hkdf-sha256-aes256gcm",
    kem_id=0x647A,
    kdf_id=0x0001,
    aead_id=0x0002,
    private_length=32,
    public_length=_MLKEM768_PUBLIC + 32,
    enc_length=1120,
    _kem=hpke.KEM.MLKEM768_X25519,
)
X25519 = _X25519Suite(
    id="x25519-hkdf-sha256-aes256gcm",
    kem_id=0x0020,
    kdf_id=0x0001,
    aead_id=0x0002,
    private_length=32,
    public_length=32,
    enc_length=32,
    _kem=hpke.KEM.X25519,
)
SUITES: dict[str, Suite] = {suite.id: suite for suite in (XWING, X25519)}


def get_suite(suite_id: object) -> Suite:
    """The suite of that id. Raises SuiteError."""
    if not isinstance(suite_id, str) or suite_id not in SUITES:
        raise SuiteError("unknown suite; known: " + ", ".join(SUITES))
    return SUITES[suite_id]


def _check_length(suite: Suite, kind: str, raw: bytes, length: int) -> None:
    if len(raw) != length:
        raise SuiteError(f"a {kind} key of suite {suite.id} has {length} bytes")


@cache
def _missing(suite: Suite) -> str | None:
    """Why this suite cannot run here; distributions' OpenSSL may lack ML-KEM."""
    try:
        private = suite._new_private()
        key, public = suite._load_private(private)
        sealed = suite._hpke().encrypt(b"probe", suite._load_public(public), b"")
        opened = suite._hpke().decrypt(sealed, key, b"")
    except UnsupportedAlgorithm:
        return (
            f"suite {suite.id} needs a cryptography library built on an OpenSSL "
            "with its KEM (ML-KEM from OpenSSL 3.5 on); install the project's wheel"
        )
    return None if opened == b"probe" else f"suite {suite.id} fails its self-test"
