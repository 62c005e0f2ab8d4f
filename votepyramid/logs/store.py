"""A log in its tables: appending to it, and reading hashes, entries and proofs.

Everything here works in the caller's transaction and checks what it relies on: a log
whose tables do not give its own root is not appended to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    LargeBinary,
    Text,
    bindparam,
    func,
    insert,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.elements import ColumnElement

from votepyramid.logs.models import LogEntry, LogHead, LogQueue, LogTile
from votepyramid.protocol import merkle
from votepyramid.protocol.leaf import leaf_hash
from votepyramid.protocol.tiles import (
    Edge,
    Fetch,
    Tile,
    TileError,
    TileReader,
    read_root,
)

RECEIPTS = "receipts"
AUDIT = "audit"
# Whose key signs a log's checkpoints, as manifests name it.
SIGNERS = {RECEIPTS: "receipt_log", AUDIT: "audit_log"}


class LogDamaged(RuntimeError):
    """The tables do not hold the tree that they say they hold: stop, and look."""


@dataclass(frozen=True)
class Log:
    """One log: an election's, of a kind."""

    election: str
    kind: str


@dataclass(frozen=True)
class Head:
    """Where a log stands, and what is public of it."""

    size: int
    root: bytes
    checkpoint: str | None
    checkpoint_size: int


@dataclass(frozen=True)
class Found:
    """An entry, the head of its log, and the tiles that prove the one in the other."""

    index: int
    head: Head
    fetch: Fetch


_HEAD = select(
    LogHead.size, LogHead.root, LogHead.checkpoint, LogHead.checkpoint_size
).where(LogHead.election == bindparam("election"), LogHead.kind == bindparam("kind"))
# One statement for all: a row each would cost more than the hashing. And all bytes in
# two values, which the database cuts up: as arrays of them they would cost it again.
_ADDED = (
    func.unnest(
        bindparam("begins", type_=ARRAY(Integer)),
        bindparam("lengths", type_=ARRAY(Integer)),
    )
    .table_valued("begin", "length", with_ordinality="place", name="added")
    .render_derived()
)
_HASH = func.substring(
    bindparam("leaf_hashes", type_=LargeBinary),
    (_ADDED.c.place - 1).cast(Integer) * merkle.HASH_BYTES + 1,
    merkle.HASH_BYTES,
)
_ENTRY = func.substring(
    bindparam("entries", type_=LargeBinary), _ADDED.c.begin + 1, _ADDED.c.length
)
_ADD = insert(LogEntry).from_select(
    ["election", "kind", "index", "leaf_hash", "entry"],
    select(
        bindparam("election", type_=Text),
        bindparam("kind", type_=Text),
        bindparam("size", type_=BigInteger) + _ADDED.c.place - 1,
        _HASH,
        _ENTRY,
    ),
)
# What proves an entry: on each level the tile over it and the tile at the edge. Seven
# levels are those of 2**63 entries. The limit keeps the planner from reading all tiles
# of a log that its statistics take for a small one. An entry is found also when no tile
# is: that is damage, and not an entry that is still to come.
_PROVING = text(
    """
    SELECT head.size, root, checkpoint, checkpoint_size, entry.index,
      tile.level, tile.index, tile.hashes
    FROM log_heads AS head
    JOIN log_entries AS entry USING (election, kind)
    CROSS JOIN generate_series(0, 6) AS above (level)
    CROSS JOIN LATERAL (
      SELECT entry.index >> 8 * (above.level + 1)
      UNION SELECT checkpoint_size >> 8 * (above.level + 1)
    ) AS place (index)
    LEFT JOIN LATERAL (
      SELECT level, index, hashes FROM log_tiles
      WHERE log_tiles.election = head.election AND log_tiles.kind = head.kind
        AND log_tiles.level = above.level AND log_tiles.index = place.index
      LIMIT 1
    ) AS tile ON true
    WHERE head.election = :election AND head.kind = :kind AND leaf_hash = :leaf
    """
)
_NEW_TILE = upsert(LogTile).inline()
_GROWN = _NEW_TILE.excluded.hashes
_GROW = _NEW_TILE.on_conflict_do_update(
    index_elements=["election", "kind", "level", "index"],
    set_={"hashes": _GROWN},
    # A tile only grows at its end.
    where=LogTile.hashes == func.substring(_GROWN, 1, func.length(LogTile.hashes)),
).execution_options(preserve_rowcount=True)


def head(connection: Connection, log: Log) -> Head | None:
    """The log's head; None before its first entry."""
    row = connection.execute(_HEAD, _names(log)).first()
    return None if row is None else Head(*row)


def locked(connection: Connection, log: Log) -> Head | None:
    """The log's head, locked to the end of the transaction; None without an entry."""
    row = connection.execute(_HEAD.with_for_update(), _names(log)).first()
    return None if row is None else Head(*row)


def begin(connection: Connection, log: Log) -> Head:
    """The log's head, locked until the transaction ends; made when there is none."""
    connection.execute(
        upsert(LogHead)
        .values(**_names(log), size=0, root=merkle.EMPTY_ROOT)
        .on_conflict_do_nothing()
    )
    return Head(*connection.execute(_HEAD.with_for_update(), _names(log)).one())


def append(
    connection: Connection, log: Log, head: Head, entries: Sequence[bytes]
) -> Head:
    """Append entries after `head`, which `begin` gave; the head as it is then.

    Raises LogDamaged when the tables do not lead to the head's root, or somebody
    else appended.
    """
    try:
        edge = Edge.read(head.size, fetching(connection, log))
    except TileError as error:
        raise LogDamaged(f"{log}: {error}") from None
    if edge.root() != head.root:
        raise LogDamaged(f"the tiles of {log} do not lead to its root")
    hashes = [leaf_hash(entry) for entry in entries]
    grown = edge.append(hashes)
    new = replace(head, size=edge.size, root=edge.root())
    lengths = [len(entry) for entry in entries]
    values = {
        "size": head.size,
        "begins": [*accumulate(lengths, initial=0)][:-1],
        "lengths": lengths,
        "leaf_hashes": b"".join(hashes),
        "entries": b"".join(entries),
    }
    connection.execute(_ADD, {**_names(log), **values})
    for tile, content in grown:
        _grow(connection, log, tile, content)
    _move(connection, log, head, new)
    return new


def publish(connection: Connection, log: Log, size: int, checkpoint: str) -> None:
    """Make a checkpoint of an appended size public; never an older one."""
    connection.execute(
        update(LogHead)
        .where(
            *of(LogHead, log),
            LogHead.size >= size,
            LogHead.checkpoint_size <= size,
        )
        .values(checkpoint=checkpoint, checkpoint_size=size)
    )


def unpublished(connection: Connection, kinds: Sequence[str]) -> list[tuple[Log, int]]:
    """The logs that hold more than is public, and their sizes."""
    rows = connection.execute(
        select(LogHead.election, LogHead.kind, LogHead.size).where(
            LogHead.kind.in_(kinds), LogHead.size > LogHead.checkpoint_size
        )
    )
    return [(Log(row.election, row.kind), row.size) for row in rows]


def published(connection: Connection, election: str | None = None) -> list[Log]:
    """The logs that have a public checkpoint, of one election or of all."""
    query = select(LogHead.election, LogHead.kind).where(LogHead.checkpoint_size > 0)
    if election is not None:
        query = query.where(LogHead.election == election)
    rows = connection.execute(query.order_by(LogHead.election, LogHead.kind))
    return [Log(row.election, row.kind) for row in rows]


def consistency(connection: Connection, log: Log, old: int, new: int) -> list[bytes]:
    """That the first `new` entries begin with the first `old`. Raises MerkleError."""
    return merkle.consistency_proof(
        old, new, TileReader(new, fetching(connection, log))
    )


def root_at(connection: Connection, log: Log, size: int) -> bytes:
    """The root of the log's first `size` entries. Raises LogDamaged."""
    try:
        return read_root(size, fetching(connection, log))
    except TileError as error:
        raise LogDamaged(f"{log}: {error}") from None


def fetching(connection: Connection, log: Log) -> Fetch:
    """Reads tiles, all that are asked for together by one query."""

    def fetch(wanted: Sequence[Tile]) -> Sequence[bytes]:
        rows = connection.execute(
            select(LogTile.level, LogTile.index, LogTile.hashes).where(
                *of(LogTile, log),
                tuple_(LogTile.level, LogTile.index).in_(
                    [(tile.level, tile.index) for tile in wanted]
                ),
            )
        )
        return _out_of({(level, index): data for level, index, data in rows})(wanted)

    return fetch


def _out_of(tiles: Mapping[tuple[int, int], bytes]) -> Fetch:
    return lambda wanted: [tiles.get((tile.level, tile.index), b"") for tile in wanted]


def find(connection: Connection, log: Log, leaf: bytes) -> Found | None:
    """The entry with this leaf hash, if it is in the log.

    One query: a proof is asked for by many, and mostly for a log that is in no cache.
    """
    rows = connection.execute(_PROVING, {**_names(log), "leaf": leaf}).all()
    if not rows:
        return None
    tiles = {(row[5], row[6]): row[7] for row in rows}
    return Found(rows[0][4], Head(*rows[0][:4]), _out_of(tiles))


def entries(connection: Connection, log: Log, begin: int, end: int) -> list[bytes]:
    """The entries with the indexes [begin, end), as many as there are."""
    rows = connection.execute(
        select(LogEntry.entry)
        .where(
            *of(LogEntry, log),
            LogEntry.index >= begin,
            LogEntry.index < end,
        )
        .order_by(LogEntry.index)
    )
    return [row.entry for row in rows]


def _grow(connection: Connection, log: Log, tile: Tile, content: bytes) -> None:
    row = {**_names(log), "level": tile.level, "index": tile.index, "hashes": content}
    if connection.execute(_GROW, row).rowcount != 1:
        raise LogDamaged(f"{tile.path} of {log} is not what it grows from")


def _move(connection: Connection, log: Log, old: Head, new: Head) -> None:
    moved = connection.execute(
        update(LogHead)
        .where(
            *of(LogHead, log),
            LogHead.size == old.size,
            LogHead.root == old.root,
        )
        .values(size=new.size, root=new.root)
    )
    if moved.rowcount != 1:
        raise LogDamaged(f"somebody else appended to {log}")


def of(
    table: type[LogEntry | LogHead | LogQueue | LogTile], log: Log
) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """That a row of one of the logs' tables is this log's."""
    return table.election == log.election, table.kind == log.kind


def _names(log: Log) -> dict[str, Any]:
    return {"election": log.election, "kind": log.kind}
