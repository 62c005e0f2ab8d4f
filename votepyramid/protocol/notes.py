"""Signed notes with Ed25519: C2SP signed-note v1.0.0.

A note is text ending in a newline, a blank line, and one or more lines
`\N{EM DASH} <key name> base64(key id || signature)`. A key id is the first four
bytes of SHA-256(name || 0x0A || 0x01 || public key).

    verifier key text   <name>+<key id as hex>+base64(0x01 || public key)
    signer key text     PRIVATE+KEY+<name>+<key id as hex>+base64(0x01 || seed)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from votepyramid.protocol.encoding import ProtocolError

MAX_NOTE_BYTES = 256 * 1024
MAX_SIGNATURES = 64
_ED25519 = b"\x01"
_DASH = "\N{EM DASH} "


class NoteError(ProtocolError):
    """A note or key text is malformed, or no known key signed the note."""


class Signer(Protocol):
    """What signs a note: a key in memory or one inside a key service."""

    @property
    def verifier(self) -> VerifierKey: ...

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature (RFC 8032) of `message`."""
        ...


@dataclass(frozen=True)
class VerifierKey:
    """A public key and the name it signs under. Raises NoteError for either."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.public) != 32:
            raise NoteError("an Ed25519 public key has 32 bytes")

    @cached_property
    def key_id(self) -> bytes:
        """Four bytes; with the name they say which key signed."""
        encoded = self.name.encode() + b"\n" + _ED25519 + self.public
        return hashlib.sha256(encoded).digest()[:4]

    @cached_property
    def _key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.public)

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read a verifier key text. Raises NoteError."""
        parts = text.split("+", 2)
        if len(parts) != 3:
            raise NoteError("a verifier key has the form name+id+key")
        return _matching(cls(parts[0], _key_bytes(parts[2])), parts[1])

    def text(self) -> str:
        """The verifier key text."""
        encoded = base64.b64encode(_ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made this signature."""
        try:
            self._key.verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class SigningKey:
    """A private key in memory, a 32-byte seed, and the name it signs under."""

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.seed) != 32:
            raise NoteError("an Ed25519 seed has 32 bytes")

    @classmethod
    def generate(cls, name: str) -> SigningKey:
        """A new random key of that name."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Read a signer key text. Raises NoteError."""
        parts = text.split("+", 4)
        if len(parts) != 5 or parts[:2] != ["PRIVATE", "KEY"]:
            raise NoteError("a signer key has the form PRIVATE+KEY+name+id+key")
        key = cls(parts[2], _key_bytes(parts[4]))
        _matching(key.verifier, parts[3])
        return key

    @cached_property
    def verifier(self) -> VerifierKey:
        return VerifierKey(self.name, self._key.public_key().public_bytes_raw())

    @cached_property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def text(self) -> str:
        """The signer key text: a secret."""
        encoded = base64.b64encode(_ED25519 + self.seed).decode()
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{encoded}"

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


class Note(NamedTuple):
    """A verified note: its text and the known keys that signed it, in order."""

    text: str
    signers: tuple[VerifierKey, ...]


class SignatureLine(NamedTuple):
    """One signature line: the blob behind its key id is the algorithm's own."""

    name: str
    key_id: bytes
    signature: bytes


def is_name(name: str) -> bool:
    """Whether `name` may name a key or an origin: UTF-8, no space, no plus."""
    return bool(name) and not any(
        char.isspace() or char < " " or char == "+" or "\ud800" <= char <= "\udfff"
        for char in name
    )


def generate(name: str) -> SigningKey:
    """A new random signing key of that name."""
    return SigningKey.generate(name)


def sign(text: str, *signers: Signer) -> str:
    """The note of `text` with one signature line for each signer, in order."""
    _check_text(text)
    if not text.endswith("\n"):
        raise NoteError("a note's text ends in a newline")
    if not signers:
        raise NoteError("a note needs a signer")
    message = text.encode()
    lines = [
        SignatureLine(
            signer.verifier.name, signer.verifier.key_id, signer.sign(message)
        )
        for signer in signers
    ]
    return text + "\n" + "".join(map(signature_line, lines))


def open(note: str, *verifiers: VerifierKey) -> Note:
    """Read a note and check it against the known keys.

    Signatures of unknown keys are ignored, as the specification asks; a known
    key's wrong signature, or none by a known key at all, raises NoteError.
    """
    known = {(key.name, key.key_id): key for key in verifiers}
    if len(known) != len(verifiers):
        raise NoteError("two known keys share name and id")
    text, signatures = split(note)
    signers: list[VerifierKey] = []
    for line in signatures:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        if not key.verify(text.encode(), line.signature):
            raise NoteError("a known key's signature does not verify")
        if key not in signers:
            signers.append(key)
    if not signers:
        raise NoteError("no known key signed the note")
    return Note(text, tuple(signers))


def signature_line(line: SignatureLine) -> str:
    """The text of a signature line, its newline included."""
    encoded = base64.b64encode(line.key_id + line.signature).decode()
    return f"{_DASH}{line.name} {encoded}\n"


def split(note: str) -> tuple[str, list[SignatureLine]]:
    """A note's text and its signature lines, none of them verified.

    Raises NoteError for what is no note.
    """
    _check_text(note)
    text, separator, lines = note.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise NoteError("a note has text, a blank line and signature lines")
    split = lines[:-1].split("\n")
    if len(split) > MAX_SIGNATURES:
        raise NoteError(f"a note has more than {MAX_SIGNATURES} signatures")
    return text + "\n", list(_signatures(split))


def _signatures(lines: Iterable[str]) -> Iterable[SignatureLine]:
    for line in lines:
        name, separator, encoded = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH) or not separator:
            raise NoteError("a signature line is malformed")
        _check_name(name)
        blob = _unb64(encoded)
        if len(blob) <= 4:
            raise NoteError("a signature line holds no signature")
        yield SignatureLine(name, blob[:4], blob[4:])


def _check_text(text: str) -> None:
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise NoteError("a note is valid UTF-8") from None
    if size > MAX_NOTE_BYTES:
        raise NoteError(f"a note is longer than {MAX_NOTE_BYTES} bytes")
    if any(char < " " and char != "\n" for char in text):
        raise NoteError("a note holds a control character")


def _check_name(name: str) -> None:
    if not is_name(name):
        raise NoteError("a key name is not empty and has no space and no plus")


def _key_bytes(encoded: str) -> bytes:
    data = _unb64(encoded)
    if len(data) != 33 or data[:1] != _ED25519:
        raise NoteError("a key text does not hold an Ed25519 key")
    return data[1:]


def _matching(key: VerifierKey, key_id: str) -> VerifierKey:
    if key.key_id.hex() != key_id:
        raise NoteError("a key text's id does not match its key")
    return key


def _unb64(encoded: str) -> bytes:
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise NoteError("not base64") from None
    if base64.b64encode(data).decode() != encoded:
        raise NoteError("base64 is not canonical")
    return data
