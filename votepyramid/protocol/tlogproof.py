r"""A proof to keep: C2SP tlog-proof, a file `.tlog-proof` of some thousand bytes.

    c2sp.org/tlog-proof@v1\n
    extra <base64>\n               optional, and authenticated by nothing
    index <index of the entry>\n
    <base64 of a hash>\n           none to 63 lines: leaf's sibling first
    \n
    <the signed checkpoint, as it is>

With the entry and the keys of log and witnesses it shows, offline and for ever, that
the entry is in the log.
"""

from __future__ import annotations

from dataclasses import dataclass

from votepyramid.protocol.checkpoint import MAX_CHECKPOINT_BYTES, Checkpoint
from votepyramid.protocol.encoding import (
    NotCanonical,
    ProtocolError,
    b64,
    decimal,
    unb64,
    utf8,
)
from votepyramid.protocol.merkle import (
    HASH_BYTES,
    MAX_PROOF_HASHES,
    MAX_SIZE,
    verify_inclusion,
)
from votepyramid.protocol.policy import Policy, Witnessed

CONTENT_TYPE = "text/plain; charset=utf-8"
MAX_EXTRA_BYTES = 16 * 1024
MAX_PROOF_BYTES = MAX_CHECKPOINT_BYTES + 2 * MAX_EXTRA_BYTES
_HEADER = "c2sp.org/tlog-proof@v1"


class TlogProofError(ProtocolError):
    """A proof does not hold; `check` names the check that failed.

    One of: format (malformed), checkpoint (not the log's, or too few witnesses),
    inclusion (the entry is not where the proof says).
    """

    def __init__(self, check: str, problem: str) -> None:
        super().__init__(problem)
        self.check = check


@dataclass(frozen=True)
class TlogProof:
    """Where an entry is, its path of 32-byte hashes, and the log's signed checkpoint.

    `extra` is whatever the maker liked to add; None, or one byte at least. Raises
    TlogProofError("format") for values no proof can hold.
    """

    index: int
    hashes: tuple[bytes, ...]
    note: str
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index < MAX_SIZE:
            raise TlogProofError("format", "an index is from 0 to 2**63 - 2")
        if len(self.hashes) > MAX_PROOF_HASHES:
            problem = f"a proof has more than {MAX_PROOF_HASHES} hashes"
            raise TlogProofError("format", problem)
        if any(len(one) != HASH_BYTES for one in self.hashes):
            raise TlogProofError("format", "a hash has 32 bytes")
        if self.extra is not None and not 0 < len(self.extra) <= MAX_EXTRA_BYTES:
            problem = f"extra data has from 1 to {MAX_EXTRA_BYTES} bytes"
            raise TlogProofError("format", problem)
        if not self.note or len(self.note) > MAX_CHECKPOINT_BYTES:
            raise TlogProofError("format", "a proof ends in a checkpoint")

    def data(self) -> bytes:
        """The proof as a file."""
        extra = [f"extra {b64(self.extra)}"] if self.extra is not None else []
        hashes = [b64(one) for one in self.hashes]
        lines = [_HEADER, *extra, f"index {self.index}", *hashes, "", self.note]
        return utf8("\n".join(lines))

    @classmethod
    def parse(cls, data: bytes) -> TlogProof:
        """Read a proof's file; nothing is verified.

        Raises TlogProofError("format") unless it is canonical.
        """
        if len(data) > MAX_PROOF_BYTES:
            raise TlogProofError("format", f"a proof is over {MAX_PROOF_BYTES} bytes")
        try:
            head, _, note = data.decode("utf-8").partition("\n\n")
            header, *lines = head.split("\n")
            if header != _HEADER:
                raise TlogProofError("format", f"a proof begins with {_HEADER}")
            extra = None
            if lines and lines[0].startswith("extra "):
                extra = unb64(lines.pop(0).removeprefix("extra "))
            if not lines or not lines[0].startswith("index "):
                raise TlogProofError("format", "a proof says the entry's index")
            index = decimal(lines.pop(0).removeprefix("index "))
            hashes = tuple(unb64(line, HASH_BYTES) for line in lines)
        except UnicodeDecodeError:
            raise TlogProofError("format", "a proof is UTF-8") from None
        except NotCanonical as error:
            raise TlogProofError("format", f"a proof: {error.problem}") from None
        return cls(index, hashes, note, extra)


def verify_proof(
    proof: TlogProof, leaf_hash: bytes, origin: str, policy: Policy
) -> Witnessed:
    """The checkpoint under which the entry of this leaf hash is in the log `origin`.

    `policy` holds the keys to trust: `Policy.k_of_n(0, (), [key])` for a log without
    witnesses. `leaf_hash` is `leaf.leaf_hash(entry)`, from the holder's own entry.
    Raises TlogProofError("checkpoint" or "inclusion").
    """
    try:
        witnessed = policy.open(proof.note, origin)
    except ProtocolError as error:
        raise TlogProofError("checkpoint", error.problem) from None
    checkpoint: Checkpoint = witnessed.checkpoint
    try:
        verify_inclusion(
            leaf_hash, proof.index, checkpoint.size, proof.hashes, checkpoint.root
        )
    except ProtocolError as error:
        raise TlogProofError("inclusion", error.problem) from None
    return witnessed
