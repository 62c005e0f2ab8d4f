r"""What the engine states of an election under its `statements` key: signed notes.

The closing statement, once the last ballot is in the log:

    evote/closing/v1\n<origin>\n<hex m>\n
    eligible <n>\nissued <n>\nused <n>\nvotes <n>\n
    log <size> <base64 root>\ntags <size> <base64 root>\n

`log` is the final tree of the receipt log, `tags` the tree of its sorted tags
(`absence.py`). And to one voter, that no token was issued to them:

    evote/none-issued/v1\n<origin>\n<hex m>\n<base64 commitment>\n

    commitment = H("evote/none-issued/v1", e, m, nonce, voter id)
    nonce      = HMAC-SHA-256(K_iss, lp("evote/none-issued/v1") || lp(e) || lp(m)
                              || lp(voter id))

The nonce, 32 bytes, is given to the voter alone: the statement names nobody, and
whoever holds both can show whose it is. Notes are C2SP signed-note v1.0.0; numbers are
decimals without leading zeroes.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

from votepyramid.protocol import notes
from votepyramid.protocol.encoding import (
    H,
    NotCanonical,
    ProtocolError,
    b64,
    canonical_hex32,
    check_id,
    decimal,
    lp,
    unb64,
    utf8,
)
from votepyramid.protocol.identifiers import ISSUANCE_KEY_LENGTH
from votepyramid.protocol.merkle import EMPTY_ROOT, HASH_BYTES, MAX_SIZE

CLOSING = "evote/closing/v1"
NONE_ISSUED = "evote/none-issued/v1"
MAX_STATEMENT_BYTES = 16 * 1024
_COUNTS = ("eligible", "issued", "used", "votes")
_TREES = ("log", "tags")
_CLOSING = re.compile(
    f"{CLOSING}\n([^\n]+)\n([^\n]+)\n"
    + "".join(f"{name} ([^ \n]+)\n" for name in _COUNTS)
    + "".join(f"{name} ([^ \n]+) ([^ \n]+)\n" for name in _TREES)
)
_NONE_ISSUED = re.compile(f"{NONE_ISSUED}\n([^\n]+)\n([^\n]+)\n([^\n]+)\n")


class StatementError(ProtocolError):
    """A statement is malformed, of another election, or says what cannot be."""


@dataclass(frozen=True)
class TreeHead:
    """The size of a Merkle tree (RFC 6962) and its root, 32 bytes."""

    size: int
    root: bytes

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 0 <= self.size <= MAX_SIZE:
            raise StatementError("a tree's size is from 0 to 2**63 - 1")
        if len(self.root) != HASH_BYTES:
            raise StatementError("a tree's root has 32 bytes")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise StatementError("a tree of size 0 has the root of no leaves")


@dataclass(frozen=True)
class ClosingStatement:
    """An election's counts and final trees. `m` is the manifest hash, 32 bytes.

    `eligible` counts the voters that any roster named, `issued` those to whom a token
    was issued, `used` the tokens used, `votes` the accepted ballots. Raises
    StatementError for values that no statement can hold; counts that do not agree
    with each other are for `reconcile`.
    """

    origin: str
    m: bytes
    eligible: int
    issued: int
    used: int
    votes: int
    log: TreeHead
    tags: TreeHead

    def __post_init__(self) -> None:
        _check_election(self.origin, self.m)
        for name in _COUNTS:
            count = getattr(self, name)
            if type(count) is not int or not 0 <= count <= MAX_SIZE:
                raise StatementError(f"{name} is a number from 0 to 2**63 - 1")

    def reconcile(self) -> None:
        """Raise StatementError, naming the first two numbers that disagree.

        eligible >= issued >= used = votes = leaves of the log = tags.
        """
        if self.eligible < self.issued:
            raise StatementError("more tokens were issued than voters were eligible")
        if self.issued < self.used:
            raise StatementError("more tokens were used than issued")
        if self.used != self.votes:
            raise StatementError("there are not as many votes as used tokens")
        if self.votes != self.log.size:
            raise StatementError("there are not as many leaves in the log as votes")
        if self.log.size != self.tags.size:
            raise StatementError("there are not as many tags as leaves in the log")

    def text(self) -> str:
        """The text that is signed, its last newline included."""
        counts = "".join(f"{name} {getattr(self, name)}\n" for name in _COUNTS)
        trees = "".join(
            f"{name} {head.size} {b64(head.root)}\n"
            for name, head in zip(_TREES, (self.log, self.tags), strict=True)
        )
        return f"{CLOSING}\n{self.origin}\n{self.m.hex()}\n{counts}{trees}"

    @classmethod
    def parse(cls, text: str) -> ClosingStatement:
        """Read a statement's text. Raises StatementError unless canonical."""
        origin, m, *rest = _groups(_CLOSING, text, "a closing statement")
        try:
            eligible, issued, used, votes = map(decimal, rest[:4])
            log = TreeHead(decimal(rest[4]), unb64(rest[5], HASH_BYTES))
            tags = TreeHead(decimal(rest[6]), unb64(rest[7], HASH_BYTES))
            hashed = canonical_hex32(m)
        except NotCanonical as error:
            raise StatementError(f"a closing statement: {error.problem}") from None
        return cls(origin, hashed, eligible, issued, used, votes, log, tags)


@dataclass(frozen=True)
class NoneIssued:
    """That to whoever the commitment (32 bytes) names no token was issued."""

    origin: str
    m: bytes
    commitment: bytes

    def __post_init__(self) -> None:
        _check_election(self.origin, self.m)
        if len(self.commitment) != HASH_BYTES:
            raise StatementError("a commitment has 32 bytes")

    def text(self) -> str:
        """The text that is signed, its last newline included."""
        shown = b64(self.commitment)
        return f"{NONE_ISSUED}\n{self.origin}\n{self.m.hex()}\n{shown}\n"

    @classmethod
    def parse(cls, text: str) -> NoneIssued:
        """Read a statement's text. Raises StatementError unless canonical."""
        origin, m, commitment = _groups(_NONE_ISSUED, text, "a statement to a voter")
        try:
            return cls(origin, canonical_hex32(m), unb64(commitment, HASH_BYTES))
        except NotCanonical as error:
            raise StatementError(f"a statement to a voter: {error.problem}") from None

    def check_holder(self, e: str, nonce: bytes, voter: str) -> None:
        """Raise StatementError unless this is what was stated to that voter."""
        if none_issued_commitment(e, self.m, nonce, voter) != self.commitment:
            raise StatementError("voter and nonce are not those of the statement")


def none_issued_nonce(k_iss: bytes, e: str, m: bytes, voter: str) -> bytes:
    """The nonce of a voter's statement, 32 bytes: the same at every asking."""
    if len(k_iss) != ISSUANCE_KEY_LENGTH:
        raise NotCanonical(f"an issuance key has {ISSUANCE_KEY_LENGTH} bytes")
    parts = (utf8(NONE_ISSUED), utf8(check_id(e)), _hash(m), _voter(voter))
    return hmac.digest(k_iss, b"".join(map(lp, parts)), "sha256")


def none_issued_commitment(e: str, m: bytes, nonce: bytes, voter: str) -> bytes:
    """What stands for the voter in the statement, 32 bytes. Raises NotCanonical."""
    return H(NONE_ISSUED, check_id(e), _hash(m), _hash(nonce), _voter(voter))


def sign_closing(statement: ClosingStatement, signer: notes.Signer) -> str:
    """The statement as a signed note. Raises StatementError unless it reconciles."""
    statement.reconcile()
    return notes.sign(statement.text(), signer)


def sign_none_issued(statement: NoneIssued, signer: notes.Signer) -> str:
    """The statement as a signed note."""
    return notes.sign(statement.text(), signer)


def open_closing(
    note: str, origin: str, m: bytes, *keys: notes.VerifierKey
) -> ClosingStatement:
    """The closing statement of that election, signed by one of the known keys.

    Raises StatementError when it is another election's or no closing statement,
    NoteError when no known key signed it. Whether its counts agree is not looked at.
    """
    statement = ClosingStatement.parse(_open(note, keys))
    _check_same(statement.origin, statement.m, origin, m)
    return statement


def open_none_issued(
    note: str, origin: str, m: bytes, *keys: notes.VerifierKey
) -> NoneIssued:
    """The statement to a voter of that election, signed by one of the known keys.

    Raises as `open_closing`. `check_holder` says whose it is.
    """
    statement = NoneIssued.parse(_open(note, keys))
    _check_same(statement.origin, statement.m, origin, m)
    return statement


def _open(note: str, keys: tuple[notes.VerifierKey, ...]) -> str:
    if len(note) > MAX_STATEMENT_BYTES:
        raise StatementError(f"a statement is over {MAX_STATEMENT_BYTES} characters")
    return notes.open(note, *keys).text


def _check_same(origin: str, m: bytes, wanted: str, pinned: bytes) -> None:
    if (origin, m) != (wanted, pinned):
        raise StatementError("a statement is of another election")


def _check_election(origin: str, m: bytes) -> None:
    if not notes.is_name(origin):
        raise StatementError("a statement's origin is a name without spaces")
    if len(m) != HASH_BYTES:
        raise StatementError("a manifest hash has 32 bytes")


def _groups(pattern: re.Pattern[str], text: str, what: str) -> tuple[str, ...]:
    if len(text) > MAX_STATEMENT_BYTES or not (found := pattern.fullmatch(text)):
        raise StatementError(f"{what} has not the lines it has to have")
    return found.groups()


def _voter(voter: str) -> bytes:
    if not voter:
        raise NotCanonical("a voter id is empty")
    return utf8(voter)


def _hash(value: bytes) -> bytes:
    # Catches hex or base64 text handed over where the raw bytes belong.
    if len(value) != 32:
        raise NotCanonical("a hash or nonce has 32 bytes")
    return value
