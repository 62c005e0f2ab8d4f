"""What the log of receipts is made of: the leaf of each accepted vote."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from votepyramid.logs.store import LogDamaged
from votepyramid.protocol.bulk import leaf_of_answer
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.leaf import receipt_hash
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
        leaf = leaf_of_answer(answer.encode())
    except ProtocolError as error:
        raise LogDamaged(f"the receipt of {wanted} was altered: {error}") from None
    if receipt_hash(leaf) != wanted:
        raise LogDamaged(f"the receipt of {wanted} is another vote's")
    return leaf
