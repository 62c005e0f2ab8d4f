"""What the log of receipts is made of: the leaf of each accepted vote."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from votepyramid.logs.store import LogDamaged
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.receipt import parse_answer
from votepyramid.votes import service as votes


def entries(connection: Connection, receipt_hashes: Sequence[str]) -> list[bytes]:
    """The leaves that were promised, in the order asked for.

    Raises LogDamaged for a vote that is gone or no longer what its receipt says.
    """
    answers = votes.stored_receipts(connection, receipt_hashes)
    return [_leaf(wanted, answers.get(wanted)) for wanted in receipt_hashes]


def _leaf(wanted: str, answer: str | None) -> bytes:
    if answer is None:
        raise LogDamaged(f"the vote {wanted} waits for the log, and is gone")
    try:
        found = parse_answer(answer.encode())
    except ProtocolError as error:
        raise LogDamaged(f"the receipt of {wanted} was altered: {error}") from None
    if found.receipt_hash != wanted:
        raise LogDamaged(f"the receipt of {wanted} is another vote's")
    return found.leaf
