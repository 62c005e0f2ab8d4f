"""The tree of an election's tags, as it is stored when the election is finished.

Its tags stand sorted in bundles of 256, so that the two around a place are one or two
rows away, and its hashes in tiles like those of a log, so that a path is a handful of
rows. The tree is made once and never grows; its root is in the closing statement.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, insert, select

from votepyramid.elections.models import ClosingTags
from votepyramid.logs import store
from votepyramid.logs.models import LogTile
from votepyramid.logs.store import Log
from votepyramid.protocol import merkle
from votepyramid.protocol.absence import TAG_BYTES, AbsenceProof, Neighbour
from votepyramid.protocol.leaf import leaf_hash
from votepyramid.protocol.statements import TreeHead
from votepyramid.protocol.tiles import TILE_WIDTH, Edge, TileReader

# The kind of its tiles; not a log's: nothing is ever appended.
TAGS = "tags"
_AROUND = (
    select(ClosingTags.index.label("place"), ClosingTags.tags)
    .where(
        ClosingTags.election == bindparam("election"),
        ClosingTags.first <= bindparam("tag"),
    )
    .order_by(ClosingTags.first.desc())
    .limit(1)
)
_BUNDLE = select(ClosingTags.tags).where(
    ClosingTags.election == bindparam("election"),
    ClosingTags.index == bindparam("index"),
)


def store_tree(connection: Connection, election: str, tags: Sequence[bytes]) -> None:
    """Write the tree of these tags, which are sorted, each once. As the owner."""
    bundles = [
        {"election": election, "index": index, "first": of[0], "tags": b"".join(of)}
        for index, of in enumerate(_bundles(tags))
    ]
    tiles = [
        {
            "election": election,
            "kind": TAGS,
            "level": tile.level,
            "index": tile.index,
            "hashes": hashes,
        }
        for tile, hashes in Edge().append([leaf_hash(tag) for tag in tags])
    ]
    if bundles:
        connection.execute(insert(ClosingTags).inline(), bundles)
        connection.execute(insert(LogTile).inline(), tiles)


def head(tags: Sequence[bytes]) -> TreeHead:
    """Size and root of the tree of these sorted tags."""
    return TreeHead(len(tags), merkle.root([leaf_hash(tag) for tag in tags]))


def prove_absence(
    connection: Connection, election: str, size: int, tag: bytes
) -> AbsenceProof | None:
    """The proof that `tag` is none of the tree's `size`; None when it is one."""
    if size == 0:
        return AbsenceProof(None, None)
    place, bundle, at = 0, b"", 0
    row = connection.execute(_AROUND, {"election": election, "tag": tag}).first()
    if row is not None:
        bundle = row.tags
        found = [*_cut(bundle)]
        at = bisect_left(found, tag)
        if at < len(found) and found[at] == tag:
            return None
        place = row.place * TILE_WIDTH + at
    reader = TileReader(size, store.fetching(connection, Log(election, TAGS)))

    def neighbour(place: int, bundle: bytes, at: int) -> Neighbour:
        own = bundle[at * TAG_BYTES : (at + 1) * TAG_BYTES]
        path = merkle.inclusion_proof(place, size, reader)
        return Neighbour(place, own, tuple(path))

    left = neighbour(place - 1, bundle, at - 1) if place > 0 else None
    if place == size:
        return AbsenceProof(left, None)
    if at * TAG_BYTES == len(bundle):
        index, at = divmod(place, TILE_WIDTH)
        values = {"election": election, "index": index}
        bundle = connection.execute(_BUNDLE, values).scalar_one()
    return AbsenceProof(left, neighbour(place, bundle, at))


def _bundles(tags: Sequence[bytes]) -> list[Sequence[bytes]]:
    return [
        tags[begin : begin + TILE_WIDTH] for begin in range(0, len(tags), TILE_WIDTH)
    ]


def _cut(bundle: bytes) -> list[bytes]:
    return [
        bundle[begin : begin + TAG_BYTES] for begin in range(0, len(bundle), TAG_BYTES)
    ]
