"""The public log of receipts, read from Postgres alone.

Whatever is answered here is in a published checkpoint: what was appended since is not
given to anybody before it is kept outside the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from votepyramid.db import reading
from votepyramid.errors import Code, Refused
from votepyramid.logs import store
from votepyramid.logs.store import RECEIPTS, Head, Log
from votepyramid.protocol import merkle
from votepyramid.protocol.encoding import NotCanonical, b64, check_id, decimal
from votepyramid.protocol.tiles import (
    Bundle,
    Tile,
    TileError,
    TileReader,
    bundle_bytes,
    fetch_tiles,
    parse_path,
)
from votepyramid.protocol.tlogproof import TlogProof


def checkpoint(engine: Engine, election: str, kind: str = RECEIPTS) -> str:
    """The newest published checkpoint. Raises Refused: NOT_FOUND, UNAVAILABLE.

    It is all that the public gets of the audit log, whose entries hold pseudonyms and
    what happened to whom: enough to hold the engine to what it will show auditors.
    """
    with _public(engine, election, kind=kind) as (_, _, head):
        return head.checkpoint or ""


def tile(engine: Engine, election: str, path: str) -> bytes:
    """A hash tile or entry bundle by its path (C2SP tlog-tiles).

    Raises Refused: NOT_FOUND for what no published checkpoint covers, UNAVAILABLE.
    """
    try:
        wanted = parse_path(f"tile/{path}")
    except TileError:
        raise Refused(Code.NOT_FOUND) from None
    with _public(engine, election) as (connection, log, head):
        if not wanted.is_in(head.checkpoint_size):
            raise Refused(Code.NOT_FOUND)
        return _content(connection, log, wanted)


def proof(engine: Engine, election: str, receipt_hash: str) -> bytes:
    """The `.tlog-proof` of a receipt in the newest published checkpoint.

    Raises Refused: NOT_IN_LOG, UNAVAILABLE.
    """
    log = _log(election, RECEIPTS, Code.NOT_IN_LOG)
    with reading(engine) as connection:
        found = store.find(connection, log, bytes.fromhex(receipt_hash))
    if found is None or found.index >= found.head.checkpoint_size:
        raise Refused(Code.NOT_IN_LOG)
    size = found.head.checkpoint_size
    hashes = merkle.inclusion_proof(found.index, size, TileReader(size, found.fetch))
    return TlogProof(found.index, (*hashes,), found.head.checkpoint or "").data()


def consistency(engine: Engine, election: str, old: str, new: str) -> str:
    """That the log of `new` entries begins with that of `old`: RFC 6962, 2.1.2.

    One base64 hash a line; nothing from 0 and between equal sizes, as C2SP
    tlog-witness has it. Sizes are decimal numbers. Raises Refused: MALFORMED unless
    0 <= old <= new, NOT_FOUND for more entries than are public, UNAVAILABLE.
    """
    begin, end = _size("old", old), _size("new", new)
    if begin > end:
        raise _malformed("old", "is larger than new")
    with _public(engine, election) as (connection, log, head):
        if end > head.checkpoint_size:
            raise Refused(Code.NOT_FOUND)
        hashes = store.consistency(connection, log, begin, end)
        return "".join(f"{b64(one)}\n" for one in hashes)


def _size(field: str, text: str) -> int:
    try:
        return decimal(text)
    except NotCanonical as error:
        raise _malformed(field, error.problem) from None


def _malformed(field: str, problem: str) -> Refused:
    errors = [{"field": field, "problem": problem}]
    return Refused(Code.MALFORMED, extras={"errors": errors})


@contextmanager
def _public(
    engine: Engine, election: str, kind: str = RECEIPTS
) -> Iterator[tuple[Connection, Log, Head]]:
    """The log of an election that has a published checkpoint."""
    log = _log(election, kind, Code.NOT_FOUND)
    with reading(engine) as connection:
        head = store.head(connection, log)
        if head is None or head.checkpoint is None:
            raise Refused(Code.NOT_FOUND)
        yield connection, log, head


def _log(election: str, kind: str, otherwise: Code) -> Log:
    try:
        return Log(check_id(election), kind)
    except NotCanonical:
        raise Refused(otherwise) from None


def _content(connection: Connection, log: Log, wanted: Tile | Bundle) -> bytes:
    if isinstance(wanted, Tile):
        return fetch_tiles([wanted], store.fetching(connection, log))[0]
    end = wanted.begin + wanted.width
    return bundle_bytes(store.entries(connection, log, wanted.begin, end))
