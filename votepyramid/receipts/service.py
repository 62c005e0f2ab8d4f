"""Receipts, answered from Postgres alone: Temporal and the workers may be down."""

from __future__ import annotations

from sqlalchemy import Engine

from votepyramid.db import reading
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
    if found is None:
        raise Refused(Code.RECEIPT_UNKNOWN)
    return found
