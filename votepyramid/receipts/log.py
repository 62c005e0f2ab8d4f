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
from votepyramid.protocol.encoding import NotCanonical, check_id
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


def checkpoint(engine: Engine, election: str) -> str:
    """The newest published checkpoint. Raises Refused: NOT_FOUND, UNAVAILABLE."""
    with _public(engine, election) as (_, _, head):
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
    with _public(engine, election, Code.NOT_IN_LOG) as (connection, log, head):
        size = head.checkpoint_size
        index = store.entry_index(connection, log, bytes.fromhex(receipt_hash))
        if index is None or index >= size:
            raise Refused(Code.NOT_IN_LOG)
        reader = TileReader(size, store.fetching(connection, log))
        hashes = merkle.inclusion_proof(index, size, reader)
        return TlogProof(index, (*hashes,), head.checkpoint or "").data()


@contextmanager
def _public(
    engine: Engine, election: str, otherwise: Code = Code.NOT_FOUND
) -> Iterator[tuple[Connection, Log, Head]]:
    """The log of an election that has a published checkpoint."""
    try:
        log = Log(check_id(election), RECEIPTS)
    except NotCanonical:
        raise Refused(otherwise) from None
    with reading(engine) as connection:
        head = store.head(connection, log)
        if head is None or head.checkpoint is None:
            raise Refused(otherwise)
        yield connection, log, head


def _content(connection: Connection, log: Log, wanted: Tile | Bundle) -> bytes:
    if isinstance(wanted, Tile):
        return fetch_tiles([wanted], store.fetching(connection, log))[0]
    end = wanted.begin + wanted.width
    return bundle_bytes(store.entries(connection, log, wanted.begin, end))
