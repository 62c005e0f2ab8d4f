"""Receipts, answered from Postgres alone: Temporal and the workers may be down."""

from __future__ import annotations

from sqlalchemy import Engine

from votepyramid.db import reading
from votepyramid.engine import metrics
from votepyramid.errors import Code, Refused
from votepyramid.protocol.encoding import NotCanonical, check_id
from votepyramid.votes import service as votes
from votepyramid.votes.service import Status


def find(engine: Engine, election: str, receipt_hash: str) -> Status:
    """What is known of a vote. Raises Refused: RECEIPT_UNKNOWN, UNAVAILABLE."""
    try:
        check_id(election)
    except NotCanonical:
        # Also what the database could not even be asked, such as a NUL.
        raise Refused(Code.RECEIPT_UNKNOWN) from None
    with reading(engine) as connection:
        found = votes.status(connection, election, receipt_hash)
    metrics.RECEIPTS.labels(_answer(found)).inc()
    if found is None:
        raise Refused(Code.RECEIPT_UNKNOWN)
    return found


def _answer(found: Status | None) -> str:
    if found is None:
        return "unknown"
    if found.receipt is not None:
        return "recorded"
    return "pending" if found.code is None else "rejected"
