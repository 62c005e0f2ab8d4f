r"""What a log says to a witness: C2SP tlog-witness v1.0.0, POST add-checkpoint.

    old <size>\n
    <base64 of a hash>\n        none to 63 lines: the consistency proof
    \n
    <the signed checkpoint>

The witness answers 200 with its signature lines, or 409 and the size it last signed,
as text/x.tlog.size, when `old` is not that size.
"""

from __future__ import annotations

from dataclasses import dataclass

from votepyramid.protocol.checkpoint import (
    MAX_CHECKPOINT_BYTES,
    Checkpoint,
    read_unverified,
)
from votepyramid.protocol.encoding import (
    NotCanonical,
    ProtocolError,
    b64,
    decimal,
    unb64,
)
from votepyramid.protocol.merkle import HASH_BYTES, MAX_PROOF_HASHES, MAX_SIZE

SIZE_CONTENT_TYPE = "text/x.tlog.size"
MAX_REQUEST_BYTES = MAX_CHECKPOINT_BYTES + 4 * 1024


class WitnessError(ProtocolError):
    """A request to a witness, or a witness's answer, is malformed."""


@dataclass(frozen=True)
class AddCheckpoint:
    """A request: the size last signed, the proof from it, the new checkpoint.

    Raises WitnessError for more than 63 hashes, one that is not 32 bytes, or a size
    out of bounds; CheckpointError or NoteError where the note is no checkpoint.
    Signatures and proof are not verified here.
    """

    old: int
    proof: tuple[bytes, ...]
    note: str

    def __post_init__(self) -> None:
        if not 0 <= self.old <= MAX_SIZE:
            raise WitnessError("an old size is from 0 to 2**63 - 1")
        if len(self.proof) > MAX_PROOF_HASHES:
            raise WitnessError(f"a proof has more than {MAX_PROOF_HASHES} hashes")
        if any(len(one) != HASH_BYTES for one in self.proof):
            raise WitnessError("a hash has 32 bytes")
        read_unverified(self.note)

    def claimed(self) -> Checkpoint:
        """The checkpoint as the note has it, unverified."""
        return read_unverified(self.note)

    def body(self) -> bytes:
        """The body of the request."""
        hashes = "".join(f"{b64(one)}\n" for one in self.proof)
        return f"old {self.old}\n{hashes}\n{self.note}".encode()

    @classmethod
    def parse(cls, body: bytes) -> AddCheckpoint:
        """Read the body of a request. Raises ProtocolError."""
        if len(body) > MAX_REQUEST_BYTES:
            raise WitnessError(f"a request is over {MAX_REQUEST_BYTES} bytes")
        try:
            head, _, note = body.decode("utf-8").partition("\n\n")
        except UnicodeDecodeError:
            raise WitnessError("a request is UTF-8") from None
        old, *lines = head.split("\n")
        if not old.startswith("old "):
            raise WitnessError("a request begins with an old size")
        try:
            proof = tuple(unb64(line, HASH_BYTES) for line in lines)
            return cls(decimal(old.removeprefix("old ")), proof, note)
        except NotCanonical as error:
            raise WitnessError(f"a request: {error.problem}") from None


def size_body(size: int) -> bytes:
    """The body of a 409 answer: the size the witness last signed."""
    if not 0 <= size <= MAX_SIZE:
        raise WitnessError("a size is from 0 to 2**63 - 1")
    return b"%d\n" % size


def parse_size(body: bytes) -> int:
    """The size in the body of a 409 answer. Raises WitnessError."""
    try:
        text = body[:32].decode("ascii")
        if not text.endswith("\n"):
            raise WitnessError("a witness's size ends in a newline")
        return decimal(text[:-1])
    except (NotCanonical, UnicodeDecodeError):
        raise WitnessError("a witness's size is no decimal number") from None
