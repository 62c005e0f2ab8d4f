r"""Checkpoints: C2SP tlog-checkpoint v1.0.0, a signed note of what a log holds.

    <origin>\n<size>\n<base64 of the root>\n

Size and root of one checkpoint belong together: no proof says anything about a size
that came from elsewhere. The format allows further lines, which no monitor can
audit. None are made here, and they are kept when another log's are read, because a
witness signs the whole text.
"""

from __future__ import annotations

from dataclasses import dataclass

from votepyramid.protocol import notes
from votepyramid.protocol.encoding import (
    NotCanonical,
    ProtocolError,
    b64,
    decimal,
    unb64,
)
from votepyramid.protocol.merkle import EMPTY_ROOT, HASH_BYTES, MAX_SIZE

MAX_CHECKPOINT_BYTES = 64 * 1024
MAX_TEXT_BYTES = 4 * 1024


class CheckpointError(ProtocolError):
    """A checkpoint is malformed, of another log, or not signed by it."""


@dataclass(frozen=True)
class Checkpoint:
    """A log's origin, its number of entries and their root (32 bytes).

    Raises CheckpointError for values no checkpoint can hold.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for line in (self.origin, *self.extensions):
            if not line or any(char < " " for char in line):
                raise CheckpointError("a checkpoint has an empty line or a control")
        if not 0 <= self.size <= MAX_SIZE:
            raise CheckpointError("a checkpoint's size is from 0 to 2**63 - 1")
        if len(self.root) != HASH_BYTES:
            raise CheckpointError("a checkpoint's root has 32 bytes")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise CheckpointError("a log of size 0 has the root of no leaves")

    def text(self) -> str:
        """The text that is signed, its last newline included."""
        lines = (self.origin, str(self.size), b64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read a checkpoint's text. Raises CheckpointError unless canonical."""
        if len(text) > MAX_TEXT_BYTES:
            raise CheckpointError(f"a checkpoint is over {MAX_TEXT_BYTES} characters")
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() != "":
            raise CheckpointError("a checkpoint has three lines, each with its newline")
        origin, size, root, *extensions = lines
        try:
            return cls(origin, decimal(size), unb64(root, HASH_BYTES), (*extensions,))
        except NotCanonical as error:
            raise CheckpointError(f"a checkpoint: {error.problem}") from None


def sign_checkpoint(checkpoint: Checkpoint, *signers: notes.Signer) -> str:
    """The checkpoint as a note with one signature line for each signer.

    The log's own key should bear the origin as its name. Raises CheckpointError for
    extension lines or an origin that is no name, NoteError without a signer. That it
    is consistent with every earlier one is the caller's to see to.
    """
    if checkpoint.extensions:
        raise CheckpointError("no checkpoint is made with extension lines")
    if not notes.is_name(checkpoint.origin):
        raise CheckpointError("an origin is a name without spaces and plus")
    return notes.sign(checkpoint.text(), *signers)


def open_checkpoint(note: str, origin: str, *keys: notes.VerifierKey) -> Checkpoint:
    """The checkpoint of a note that a known key of the log `origin` signed.

    Raises CheckpointError when it is another log's or no checkpoint, NoteError when
    no known key signed it or one's signature is wrong.
    """
    _check_length(note)
    checkpoint = Checkpoint.parse(notes.open(note, *keys).text)
    if checkpoint.origin != origin:
        raise CheckpointError("a checkpoint is of another log")
    return checkpoint


def read_unverified(note: str) -> Checkpoint:
    """What a note claims to be, to find out whose keys to open it with.

    Raises CheckpointError or NoteError for what is no checkpoint.
    """
    _check_length(note)
    return Checkpoint.parse(notes.split(note)[0])


def _check_length(note: str) -> None:
    if len(note) > MAX_CHECKPOINT_BYTES:
        raise CheckpointError(f"a note is over {MAX_CHECKPOINT_BYTES} characters")
