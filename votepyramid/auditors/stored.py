"""The ballots of an export: each accepted vote's, out of its row of the database.

    {"ballot","key_id","receipt_hash","style","suite","t"}   canonical JSON, a line each

The KMS envelope around it is opened; what is in it stays sealed to the trustees' key.
So an auditor makes the leaf of each vote again from what is stored, and needs to
believe nobody that it is the ballot which the voter's receipt is for. One whose
envelope does not open was altered, or moved: it is named in the place of its ballot.

    {"receipt_hash","unopened":true}
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, select

from votepyramid.auditors.case import Tell
from votepyramid.auditors.folder import BALLOTS, Writing
from votepyramid.keys.provider import WrongContext
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol.encoding import b64u, canonical_hex32, check_id, jcs
from votepyramid.votes.envelope import open_row
from votepyramid.votes.models import VoteSubmission

# A file is checked by one process at a time, and unpacked in its memory.
BALLOTS_A_FILE = 2_500
BYTES_A_FILE = 16 * 1024 * 1024
EXAMPLES = 20
# Of a row's own data: an envelope or a data key that does not open, other members.
_ALTERED = (LookupError, TypeError, ValueError, WrongContext)


@dataclass
class Unopened:
    """How many ballots do not open, and the first of their receipt hashes."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, receipt_hash: str) -> None:
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(receipt_hash)


def write(
    connection: Connection, keys: ElectionKeys, out: Writing, election: str, tell: Tell
) -> Unopened:
    """Write all, in the order of their receipt hashes; which do not open.

    Raises KeyProviderError when the provider is away.
    """
    rows = connection.execution_options(yield_per=BALLOTS_A_FILE).execute(
        select(
            VoteSubmission.id,
            VoteSubmission.receipt_hash,
            VoteSubmission.tag,
            VoteSubmission.ballot_snapshot,
        )
        .where(VoteSubmission.election == election, VoteSubmission.status == "accepted")
        .order_by(VoteSubmission.receipt_hash)
    )
    unopened = Unopened()
    written: set[str] = set()
    done = 0
    for number, lines in enumerate(_files(_lines(keys, election, rows, unopened))):
        name = f"{BALLOTS}{number:05}.jsonl.gz"
        out.write(name, gzip.compress(b"".join(lines), 1, mtime=0))
        written.add(name)
        done += len(lines)
        tell("ballots", done, 0)
    out.keep_only(BALLOTS, written)
    return unopened


def _lines(
    keys: ElectionKeys, election: str, rows: Iterable[Row[Any]], unopened: Unopened
) -> Iterator[bytes]:
    for row in rows:
        try:
            line = _opened(keys, election, row)
        except _ALTERED:
            unopened.add(row.receipt_hash)
            line = {"receipt_hash": row.receipt_hash, "unopened": True}
        yield jcs(line) + b"\n"


def _opened(keys: ElectionKeys, election: str, row: Row[Any]) -> dict[str, Any]:
    snapshot = row.ballot_snapshot
    ballot = open_row(keys, election, row.id, row.receipt_hash, snapshot)
    return {
        "ballot": b64u(ballot),
        "key_id": canonical_hex32(snapshot["key_id"]).hex(),
        "receipt_hash": row.receipt_hash,
        "style": check_id(snapshot["style"]),
        "suite": check_id(snapshot["suite"]),
        "t": b64u(row.tag),
    }


def _files(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """As many lines as a file may have, by number and by bytes."""
    some: list[bytes] = []
    size = 0
    for line in lines:
        if some and (len(some) == BALLOTS_A_FILE or size + len(line) > BYTES_A_FILE):
            yield some
            some, size = [], 0
        some.append(line)
        size += len(line)
    if some:
        yield some
