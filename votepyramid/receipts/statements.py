"""What is stated at an election's end, read from Postgres alone."""

from __future__ import annotations

from sqlalchemy import Connection, Engine

from votepyramid.db import reading
from votepyramid.elections import finishing
from votepyramid.elections import service as elections
from votepyramid.errors import Code, Refused
from votepyramid.protocol import notes
from votepyramid.protocol.absence import absence_bytes
from votepyramid.protocol.statements import ClosingStatement
from votepyramid.receipts import tags


def closing(engine: Engine, election: str) -> str:
    """The signed closing statement.

    Raises Refused: ELECTION_UNKNOWN, ELECTION_NOT_FINISHED, UNAVAILABLE.
    """
    with reading(engine) as connection:
        return _closing(connection, election)


def absence(engine: Engine, election: str, tag: bytes) -> bytes:
    """The proof, as JSON, that no vote stands under `tag`, against that statement.

    Raises Refused: VOTE_RECORDED when one does, and as `closing`.
    """
    with reading(engine) as connection:
        text, _ = notes.split(_closing(connection, election))
        size = ClosingStatement.parse(text).tags.size
        proof = tags.prove_absence(connection, election, size, tag)
    if proof is None:
        raise Refused(Code.VOTE_RECORDED)
    return absence_bytes(proof)


def _closing(connection: Connection, election: str) -> str:
    elections.get(connection, election)
    note = finishing.closing(connection, election)
    if note is None:
        raise Refused(Code.ELECTION_NOT_FINISHED)
    return note
