r"""A witness's word for a checkpoint: C2SP tlog-cosignature v1.0.1, Ed25519.

The witness signs `cosignature/v1\ntime <seconds since 1970>\n` and the checkpoint's
whole text; its signature line holds the time as eight big-endian bytes and the
signature. It says: at that time this was the largest tree I had seen of this log,
and it began with every smaller one.

    verifier key text   <name>+<key id as hex>+base64(0x04 || public key)

The signed message does not hold the witness's name. So a key counts once, under
whatever names it appears.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from votepyramid.protocol import notes
from votepyramid.protocol.checkpoint import MAX_CHECKPOINT_BYTES, Checkpoint
from votepyramid.protocol.encoding import (
    NotCanonical,
    ProtocolError,
    b64,
    unb64,
)

_ED25519_COSIGNATURE = b"\x04"
_MAX_TIME = 2**63 - 1


class CosignatureError(ProtocolError):
    """A witness's key or cosignature is malformed, or does not hold."""


@dataclass(frozen=True)
class WitnessKey:
    """A witness's public key and its name. Raises NoteError for either."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        notes.VerifierKey(self.name, self.public)

    @cached_property
    def key_id(self) -> bytes:
        """Four bytes; another than those of the same key as a log's."""
        encoded = self.name.encode() + b"\n" + _ED25519_COSIGNATURE + self.public
        return hashlib.sha256(encoded).digest()[:4]

    @classmethod
    def of(cls, key: notes.VerifierKey) -> WitnessKey:
        """The witness that signs with this key."""
        return cls(key.name, key.public)

    @classmethod
    def parse(cls, text: str) -> WitnessKey:
        """Read a verifier key text. Raises CosignatureError or NoteError."""
        parts = text.split("+", 2)
        if len(parts) != 3:
            raise CosignatureError("a verifier key has the form name+id+key")
        try:
            data = unb64(parts[2])
        except NotCanonical as error:
            raise CosignatureError(f"a verifier key: {error.problem}") from None
        if data[:1] != _ED25519_COSIGNATURE:
            raise CosignatureError("a key is not one for Ed25519 cosignatures")
        key = cls(parts[0], data[1:])
        if key.key_id.hex() != parts[1]:
            raise CosignatureError("a key text's id does not match its key")
        return key

    def text(self) -> str:
        """The verifier key text."""
        encoded = b64(_ED25519_COSIGNATURE + self.public)
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def time_of(self, text: str, blob: bytes) -> int | None:
        """When this witness signed a checkpoint's text, None if it did not."""
        time = int.from_bytes(blob[:8], "big")
        if time > _MAX_TIME:
            return None
        key = notes.VerifierKey(self.name, self.public)
        return time if key.verify(_message(text, time), blob[8:]) else None


def cosign(note: str, signer: notes.Signer, time: int) -> str:
    """A witness's signature line for a checkpoint, at `time` in whole seconds.

    Whether the log's signature and its consistency hold is to be seen before. Raises
    CosignatureError for a time out of bounds, CheckpointError for no checkpoint.
    """
    if not 0 <= time <= _MAX_TIME:
        raise CosignatureError("a cosignature's time is from 0 to 2**63 - 1")
    text, _ = notes.split(note)
    Checkpoint.parse(text)
    key = WitnessKey.of(signer.verifier)
    blob = time.to_bytes(8, "big") + signer.sign(_message(text, time))
    return notes.signature_line(notes.SignatureLine(key.name, key.key_id, blob))


def cosigners(note: str, *witnesses: WitnessKey) -> dict[WitnessKey, int]:
    """Who of the known witnesses signed a checkpoint, and when last (seconds).

    Lines of unknown keys are ignored, as the specification asks. Raises
    CosignatureError for a known witness's line that does not verify, CheckpointError
    or NoteError for what is no checkpoint.
    """
    text, lines = notes.split(note)
    Checkpoint.parse(text)
    found: dict[WitnessKey, int] = {}
    for line in lines:
        for key in _named(line, witnesses):
            found[key] = max(_time(key, text, line), found.get(key, 0))
    return found


def add_cosignatures(note: str, answer: str, *witnesses: WitnessKey) -> str:
    """The checkpoint with the lines of a witness's answer that known keys signed.

    `answer` is the body of a 200 answer to add-checkpoint. Lines of unknown keys
    are left out. Raises CosignatureError when no line is by a known witness, or one
    of them does not verify; NoteError when the answer is malformed.
    """
    text, before = notes.split(note)
    together = note + answer
    if len(together) > MAX_CHECKPOINT_BYTES:
        raise CosignatureError("a checkpoint has no room for so many cosignatures")
    joined_text, lines = notes.split(together)
    if joined_text != text or lines[: len(before)] != before:
        raise CosignatureError("a witness's answer is not signature lines alone")
    kept = []
    for line in lines[len(before) :]:
        for key in _named(line, witnesses):
            _time(key, text, line)
            kept.append(line)
    if not kept:
        raise CosignatureError("no known witness signed the answer")
    added = [line for line in dict.fromkeys(kept) if line not in before]
    return note + "".join(map(notes.signature_line, added))


def _named(
    line: notes.SignatureLine, witnesses: tuple[WitnessKey, ...]
) -> list[WitnessKey]:
    """The witness whose line this claims to be: none or one."""
    own = [key for key in witnesses if (key.name, key.key_id) == line[:2]]
    if len(own) > 1:
        raise CosignatureError("two known witnesses share name and id")
    return own


def _time(key: WitnessKey, text: str, line: notes.SignatureLine) -> int:
    time = key.time_of(text, line.signature)
    if time is None:
        raise CosignatureError("a known witness's cosignature does not verify")
    return time


def _message(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()
