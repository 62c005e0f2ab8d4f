"""A log as static files: C2SP tlog-tiles v0.1.0.

    tile/<L>/<N>[.p/<W>]        hash tile: up to 256 hashes of 32 bytes, concatenated
    tile/entries/<N>[.p/<W>]    entry bundle: up to 256 entries, each behind its
                                length as two big-endian bytes

Hash i of tile (L, N) is the Merkle node of level 8 * L and index 256 * N + i. A tile
narrower than 256 is partial and only ever grows into the full one. <N> is written in
groups of three digits, all but the last behind an `x`: 1234067 is `x001/x234/067`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from votepyramid.protocol import merkle
from votepyramid.protocol.merkle import (
    HASH_BYTES,
    MAX_SIZE,
    CompactRange,
    MerkleError,
    Node,
    subtrees,
)

TILE_HEIGHT = 8
TILE_WIDTH = 256
MAX_LEVEL = 63
MAX_ENTRY_BYTES = 0xFFFF
_GROUPS = r"(?P<groups>(?:x[0-9]{3}/){0,6}[0-9]{3})"
_PATH = re.compile(
    r"tile/(?P<level>0|[1-9][0-9]?|entries)/"
    + _GROUPS
    + r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


class TileError(MerkleError):
    """A tile, its path or an entry bundle is malformed, or not of such a log."""


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """A hash tile of 1 to 256 hashes. Raises TileError for other numbers."""

    level: int
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not 0 <= self.level <= MAX_LEVEL:
            raise TileError("a tile's level is from 0 to 63")
        _check_place(self.index, self.width)

    @property
    def path(self) -> str:
        return f"tile/{self.level}/{_place(self.index, self.width)}"

    def is_in(self, size: int) -> bool:
        """Whether a log of `size` entries has the hashes of this tile."""
        end = self.index * TILE_WIDTH + self.width
        return end <= size >> TILE_HEIGHT * self.level


@dataclass(frozen=True, slots=True, order=True)
class Bundle:
    """An entry bundle of 1 to 256 entries. Raises TileError for other numbers."""

    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        _check_place(self.index, self.width)

    @property
    def path(self) -> str:
        return f"tile/entries/{_place(self.index, self.width)}"

    @property
    def begin(self) -> int:
        """The index of the first entry in it."""
        return self.index * TILE_WIDTH

    def is_in(self, size: int) -> bool:
        """Whether a log of `size` entries has the entries of this bundle."""
        return self.begin + self.width <= size


Fetch = Callable[[Sequence[Tile]], Sequence[bytes]]
"""Gives the contents of the tiles asked for, in their order.

For a partial tile the full one, or a wider partial one, does as well.
"""


def parse_path(path: str) -> Tile | Bundle:
    """What a path below the log's prefix names. Raises TileError unless canonical."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise TileError("not the path of a tile or an entry bundle")
    index = int(found["groups"].replace("/", "").replace("x", ""))
    width = int(found["width"] or TILE_WIDTH)
    read: Tile | Bundle
    if found["level"] == "entries":
        read = Bundle(index, width)
    else:
        read = Tile(int(found["level"]), index, width)
    if read.path != path:
        raise TileError("a tile's path is not canonical")
    return read


def tiles_of_growth(old: int, new: int) -> list[Tile]:
    """The hash tiles that a log makes when it grows from `old` to `new` entries.

    Each full tile that became full, and the partial tiles of the new size that the
    old one had not. Raises TileError unless 0 <= old <= new.
    """
    _check_growth(old, new)
    tiles: list[Tile] = []
    level = 0
    while old != new:
        tiles += [Tile(level, index, width) for index, width in _places(old, new)]
        old, new, level = old >> TILE_HEIGHT, new >> TILE_HEIGHT, level + 1
    return tiles


def bundles_of_growth(old: int, new: int) -> list[Bundle]:
    """The entry bundles that a log makes when it grows. Raises TileError."""
    _check_growth(old, new)
    return [Bundle(index, width) for index, width in _places(old, new)]


class TileReader:
    """A `merkle.Reader` of the log with `size` entries, out of its tiles.

    One call fetches every tile it needs once and together. Nothing read is
    authenticated: a proof is only as good as the root it is then verified against.
    Raises TileError for a node outside the log or a tile of the wrong length.
    """

    def __init__(self, size: int, fetch: Fetch) -> None:
        self._size = size
        self._fetch = fetch

    def __call__(self, nodes: Sequence[Node]) -> list[bytes]:
        homes = [self._home(node) for node in nodes]
        wanted = sorted({tile for tile, _ in homes})
        contents = fetch_tiles(wanted, self._fetch)
        by_tile = dict(zip(wanted, contents, strict=True))
        return [
            _hash_in(by_tile[tile], begin, 1 << node.level % TILE_HEIGHT)
            for node, (tile, begin) in zip(nodes, homes, strict=True)
        ]

    def _home(self, node: Node) -> tuple[Tile, int]:
        """The tile a node is computed from, and where in it its hashes begin."""
        level, height = divmod(node.level, TILE_HEIGHT)
        first = node.index << height
        hashes = self._size >> TILE_HEIGHT * level
        if not 0 <= first <= hashes - (1 << height):
            raise TileError("a node is not in a log of that size")
        index, begin = divmod(first, TILE_WIDTH)
        return Tile(level, index, min(TILE_WIDTH, hashes - index * TILE_WIDTH)), begin


def fetch_tiles(tiles: Sequence[Tile], fetch: Fetch) -> list[bytes]:
    """The contents of tiles, each cut to its width. Raises TileError."""
    contents = list(fetch(tiles)) if tiles else []
    if len(contents) != len(tiles):
        raise TileError("another number of tiles came than was asked for")
    for tile, data in zip(tiles, contents, strict=True):
        if len(data) % HASH_BYTES or len(data) > TILE_WIDTH * HASH_BYTES:
            raise TileError("a tile's length is not that of 1 to 256 hashes")
        if len(data) < tile.width * HASH_BYTES:
            raise TileError("a tile has fewer hashes than its log's size asks for")
    return [
        data[: tile.width * HASH_BYTES]
        for tile, data in zip(tiles, contents, strict=True)
    ]


def read_root(size: int, fetch: Fetch) -> bytes:
    """The root of a log of `size` entries, from its rightmost tiles alone.

    Raises TileError.
    """
    _check_growth(0, size)
    return merkle.fold(TileReader(size, fetch)(subtrees(0, size)))


class Edge:
    """The right edge of a log: what is needed to append to it and to make its tiles."""

    def __init__(self) -> None:
        self._range = CompactRange()
        self._partials: list[bytes] = []

    @classmethod
    def read(cls, size: int, fetch: Fetch) -> Edge:
        """The edge of a log of `size` entries from its partial tiles.

        Raises TileError. Compare `root()` with the checkpoint before appending.
        """
        _check_growth(0, size)
        edge, wanted, level = cls(), list[Tile](), 0
        while (hashes := size >> TILE_HEIGHT * level) > 0:
            if width := hashes % TILE_WIDTH:
                wanted.append(Tile(level, hashes // TILE_WIDTH, width))
            level += 1
        found = dict(zip(wanted, fetch_tiles(wanted, fetch), strict=True))
        by_level = {tile.level: data for tile, data in found.items()}
        edge._partials = [by_level.get(at, b"") for at in range(level)]
        reader = TileReader(size, lambda tiles: [found[tile] for tile in tiles])
        nodes = subtrees(0, size)
        edge._range = CompactRange(size, reader(nodes))
        return edge

    @property
    def size(self) -> int:
        return self._range.size

    def root(self) -> bytes:
        """The log's root as it stands."""
        return self._range.root()

    def root_with(self, leaf_hashes: Iterable[bytes]) -> bytes:
        """The root that the log would have with these leaf hashes added."""
        grown = CompactRange(self.size, self._range.hashes)
        grown.extend(leaf_hashes)
        return grown.root()

    def append(self, leaf_hashes: Iterable[bytes]) -> list[tuple[Tile, bytes]]:
        """Add leaf hashes; the tiles of this growth and their contents.

        They are those of `tiles_of_growth(size before, size after)`, in its order.
        Raises MerkleError, and adds nothing, when a hash is not 32 bytes long.
        """
        before = self.size
        made = []
        for level, hashes in enumerate(self._range.extend(leaf_hashes, TILE_HEIGHT)):
            made += self._fill(level, before >> TILE_HEIGHT * level, hashes)
        return made

    def _fill(
        self, level: int, before: int, hashes: list[bytes]
    ) -> list[tuple[Tile, bytes]]:
        if level == len(self._partials):
            self._partials.append(b"")
        data = self._partials[level] + b"".join(hashes)
        made, at = [], 0
        for index, width in _places(before, before + len(hashes)):
            end = at + width * HASH_BYTES
            made.append((Tile(level, index, width), data[at:end]))
            if width == TILE_WIDTH:
                at = end
        self._partials[level] = data[at:]
        return made


def bundle_bytes(entries: Sequence[bytes]) -> bytes:
    """The bytes of an entry bundle. Raises TileError for too many or too long."""
    if not 1 <= len(entries) <= TILE_WIDTH:
        raise TileError("a bundle has from 1 to 256 entries")
    if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise TileError("an entry is longer than 65,535 bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_bundle(data: bytes, width: int) -> list[bytes]:
    """The entries of a bundle of exactly `width` entries. Raises TileError."""
    entries = []
    at = 0
    while at < len(data):
        begin = at + 2
        at = begin + int.from_bytes(data[at:begin], "big")
        if at > len(data):
            raise TileError("an entry bundle ends within an entry")
        entries.append(data[begin:at])
    if len(entries) != width:
        raise TileError("an entry bundle has another number of entries")
    return entries


def _hash_in(data: bytes, begin: int, hashes: int) -> bytes:
    cut = range(begin * HASH_BYTES, (begin + hashes) * HASH_BYTES, HASH_BYTES)
    return merkle.root([data[at : at + HASH_BYTES] for at in cut])


def _places(old: int, new: int) -> list[tuple[int, int]]:
    """Index and width of the tiles of one level that a growth makes."""
    if old == new:
        return []
    full, rest = divmod(new, TILE_WIDTH)
    made = [(index, TILE_WIDTH) for index in range(old // TILE_WIDTH, full)]
    return [*made, (full, rest)] if rest else made


def _place(index: int, width: int) -> str:
    groups = f"{index % 1000:03}"
    while index := index // 1000:
        groups = f"x{index % 1000:03}/{groups}"
    return groups if width == TILE_WIDTH else f"{groups}.p/{width}"


def _check_place(index: int, width: int) -> None:
    if not 1 <= width <= TILE_WIDTH:
        raise TileError("a tile's width is from 1 to 256")
    if not 0 <= index <= MAX_SIZE // TILE_WIDTH:
        raise TileError("a tile's index is from 0 to 2**55 - 1")


def _check_growth(old: int, new: int) -> None:
    if not 0 <= old <= new <= MAX_SIZE:
        raise TileError("a log's size is from 0 to 2**63 - 1 and never shrinks")
