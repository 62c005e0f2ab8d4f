"""A log in its tables: appending to it, and reading hashes, entries and proofs.

Everything here works in the caller's transaction and checks what it relies on: a log
whose tables do not give its own root is not appended to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.elements import ColumnElement

from votepyramid.logs.models import LogEntry, LogHead, LogQueue, LogTile
from votepyramid.protocol import merkle
from votepyramid.protocol.leaf import leaf_hash
from votepyramid.protocol.tiles import Edge, Fetch, Tile, TileError, read_root

RECEIPTS = "receipts"


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


_HEAD = select(
    LogHead.size, LogHead.root, LogHead.checkpoint, LogHead.checkpoint_size
).where(LogHead.election == bindparam("election"), LogHead.kind == bindparam("kind"))
_ADD = insert(LogEntry).inline()
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
    connection.execute(
        _ADD,
        [
            {**_names(log), "index": index, "leaf_hash": h, "entry": entry}
            for index, (h, entry) in enumerate(
                zip(hashes, entries, strict=True), head.size
            )
        ],
    )
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


def root_at(connection: Connection, log: Log, size: int) -> bytes:
    """The root of the log's first `size` entries. Raises LogDamaged."""
    try:
        return read_root(size, fetching(connection, log))
    except TileError as error:
        raise LogDamaged(f"{log}: {error}") from None


def fetching(connection: Connection, log: Log) -> Fetch:
    """Reads tiles, all that are asked for together by one query."""

    def fetch(wanted: Sequence[Tile]) -> list[bytes]:
        rows = connection.execute(
            select(LogTile.level, LogTile.index, LogTile.hashes).where(
                *of(LogTile, log),
                tuple_(LogTile.level, LogTile.index).in_(
                    [(tile.level, tile.index) for tile in wanted]
                ),
            )
        )
        found = {(level, index): hashes for level, index, hashes in rows}
        return [found.get((tile.level, tile.index), b"") for tile in wanted]

    return fetch


def entry_index(connection: Connection, log: Log, leaf: bytes) -> int | None:
    """Where the entry with this leaf hash stands, if it does."""
    return connection.scalar(
        select(LogEntry.index).where(
            *of(LogEntry, log),
            LogEntry.leaf_hash == leaf,
        )
    )


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
