"""Tiles: C2SP's own examples, hostile paths, and proofs out of few tiles."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.protocol import rfc6962
from tests.protocol.support import flip, relaxed, thorough
from tests.protocol.trees import leaf_hashes, reader
from votepyramid.protocol import merkle, tiles
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.merkle import MerkleError, Node
from votepyramid.protocol.tiles import Bundle, Edge, Tile, TileError, TileReader

SIZES = st.one_of(st.integers(0, 1500), st.integers(65_400, 66_600))


class Store(dict[Tile, bytes]):
    """Tiles in memory that count what is asked of them."""

    asked = 0
    calls = 0

    def fetch(self, wanted: Sequence[Tile]) -> list[bytes]:
        self.calls += 1
        self.asked += len(wanted)
        return [self[tile] for tile in wanted]


@cache
def grown(*sizes: int) -> tuple[Edge, Store]:
    """A log that grew through these sizes."""
    hashes, edge, store = leaf_hashes(max(sizes, default=0)), Edge(), Store()
    for size in sizes:
        store.update(edge.append(hashes[edge.size : size]))
    return edge, store


@pytest.mark.parametrize(
    ("path", "tile"),
    [
        ("tile/0/x001/x234/067", Tile(0, 1234067)),
        ("tile/entries/x001/x234/067", Bundle(1234067)),
        ("tile/0/000", Tile(0, 0)),
        ("tile/63/999.p/255", Tile(63, 999, 255)),
        ("tile/1/x001/000.p/1", Tile(1, 1000, 1)),
        ("tile/entries/x273/273.p/112", Bundle(273273, 112)),
    ],
)
def test_published_paths(path: str, tile: Tile | Bundle) -> None:
    assert tiles.parse_path(path) == tile
    assert tile.path == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/x000/x001/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/0/x01/000",
        "tile/0/X001/000",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/100/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/data/000",
        "tile/8/0/000",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000.p/1/",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/0/000 ",
        "/tile/0/000",
        "tile//0/000",
        "tile/0/../0/000",
        "tile/0/%30%30%30",
        "tile/\u0660/000",
        "tile/0/\u0660\u0661\u0662",
        "tile/0/x999/x999/x999/x999/x999/999",
        "tile/0/" + "x001/" * 400 + "000",
        "tile/entries/",
        "tile/entries/0/000",
        "entries/000",
    ],
)
def test_hostile_paths(path: str) -> None:
    with pytest.raises(TileError):
        tiles.parse_path(path)


@thorough
@given(st.text("tile/entrsx0123456789.p", max_size=40), st.integers(0, 9))
@example("tile/0/000.p/256", 0)
def test_a_path_is_refused_or_the_only_one(tail: str, level: int) -> None:
    for path in (tail, f"tile/{level}/{tail}", f"tile/entries/{tail}"):
        with contextlib.suppress(TileError):
            assert tiles.parse_path(path).path == path


@given(st.integers(0, 2**55 - 1), st.integers(1, 256), st.integers(0, 63))
def test_paths_round_trip(index: int, width: int, level: int) -> None:
    for tile in (Tile(level, index, width), Bundle(index, width)):
        assert tiles.parse_path(tile.path) == tile


def test_numbers_no_tile_has() -> None:
    for level, index, width in (
        (64, 0, 1),
        (-1, 0, 1),
        (0, -1, 1),
        (0, 2**55, 1),
        (0, 0, 0),
        (0, 0, 257),
    ):
        with pytest.raises(TileError):
            Tile(level, index, width)
    for index, width in ((-1, 1), (2**55, 1), (0, 0), (0, 257)):
        with pytest.raises(TileError):
            Bundle(index, width)
    assert issubclass(TileError, ProtocolError)


def test_published_tree_of_70000() -> None:
    """273 full tiles and one of 112; one full and one of 17; one of 1."""
    made = tiles.tiles_of_growth(0, 70_000)
    assert made == [
        *(Tile(0, index) for index in range(273)),
        Tile(0, 273, 112),
        Tile(1, 0),
        Tile(1, 1, 17),
        Tile(2, 0, 1),
    ]
    assert tiles.tiles_of_growth(0, 256) == [Tile(0, 0), Tile(1, 0, 1)]
    assert tiles.tiles_of_growth(0, 0) == []
    assert tiles.tiles_of_growth(70_000, 70_000) == []


@given(SIZES, SIZES, SIZES)
def test_growth_in_steps_makes_every_tile_of_the_end(a: int, b: int, c: int) -> None:
    old, middle, new = sorted((a, b, c))
    steps = [
        *tiles.tiles_of_growth(0, old),
        *tiles.tiles_of_growth(old, middle),
        *tiles.tiles_of_growth(middle, new),
    ]
    assert set(tiles.tiles_of_growth(0, new)) <= set(steps)
    assert len(steps) == len(set(steps))
    assert all(tile.is_in(new) for tile in steps)
    for tile in tiles.tiles_of_growth(middle, new):
        assert not tile.is_in(middle)
    bundles = tiles.bundles_of_growth(0, middle) + tiles.bundles_of_growth(middle, new)
    assert set(tiles.bundles_of_growth(0, new)) <= set(bundles)
    level0 = [(tile.index, tile.width) for tile in steps if tile.level == 0]
    made = [*tiles.bundles_of_growth(0, old), *tiles.bundles_of_growth(old, middle)]
    made += tiles.bundles_of_growth(middle, new)
    assert [(bundle.index, bundle.width) for bundle in made] == level0
    assert all(bundle.is_in(new) for bundle in made)


def test_growth_that_is_none() -> None:
    for old, new in ((1, 0), (-1, 0), (0, 2**63)):
        with pytest.raises(TileError):
            tiles.tiles_of_growth(old, new)
        with pytest.raises(TileError):
            tiles.bundles_of_growth(old, new)
    assert not Tile(0, 0).is_in(255) and Tile(0, 0).is_in(256)
    assert not Tile(1, 0, 2).is_in(511) and Tile(1, 0, 2).is_in(512)
    assert not Bundle(1, 2).is_in(257) and Bundle(1, 2).is_in(258)


@relaxed
@given(st.lists(st.integers(0, 1500), min_size=1, max_size=4))
@example([65_400, 66_100])
@example([65_536, 65_537])
def test_an_edge_makes_the_tiles_of_its_growth(sizes: list[int]) -> None:
    hashes, edge, store = leaf_hashes(max(sizes)), Edge(), Store()
    for size in sorted(sizes):
        before = edge.size
        made = edge.append(hashes[before:size])
        assert [tile for tile, _ in made] == tiles.tiles_of_growth(before, size)
        store.update(made)
        assert edge.root() == tiles.read_root(size, store.fetch)
        edge = Edge.read(size, store.fetch)
        assert edge.size == size
        assert edge.root() == merkle.root(hashes[:size])
    read = reader(hashes)
    for tile, data in store.items():
        first = tile.index * 256
        last = first + tile.width - 1
        cut = [data[at : at + 32] for at in range(0, len(data), 32)]
        assert len(cut) == tile.width
        ends = [Node(8 * tile.level, first), Node(8 * tile.level, last)]
        assert [cut[0], cut[-1]] == read(ends)


@relaxed
@given(SIZES.filter(bool), st.data())
def test_proofs_out_of_tiles(size: int, data: st.DataObject) -> None:
    index, old = (data.draw(st.integers(0, size - 1)) for _ in range(2))
    _, store = grown(size)
    hashes = leaf_hashes(size)
    read = TileReader(size, store.fetch)
    path = merkle.inclusion_proof(index, size, read)
    root = tiles.read_root(size, store.fetch)
    merkle.verify_inclusion(hashes[index], index, size, path, root)
    growth = merkle.consistency_proof(old, size, read)
    merkle.verify_consistency(old, size, growth, merkle.root(hashes[:old]), root)


def test_a_proof_at_a_million_leaves_touches_a_handful_of_tiles() -> None:
    size = 1_000_000
    hashes = [n.to_bytes(32, "big") for n in range(size)]
    edge = Edge()
    store = Store(edge.append(hashes))
    for index in (0, 499_999, 983_040, 999_999):
        store.asked = store.calls = 0
        path = merkle.inclusion_proof(index, size, TileReader(size, store.fetch))
        assert store.calls == 1
        assert store.asked <= 6
        merkle.verify_inclusion(hashes[index], index, size, path, edge.root())
    for old in (1, 65_537):
        store.asked = store.calls = 0
        growth = merkle.consistency_proof(old, size, TileReader(size, store.fetch))
        assert store.calls <= 1
        assert store.asked <= 8
        before = merkle.root(hashes[:old])
        merkle.verify_consistency(old, size, growth, before, edge.root())


def test_a_wider_tile_does_for_a_partial_one() -> None:
    """A log may drop a partial tile once the full one is there."""
    _, store = grown(300, 600)
    wider = Store(store)
    wider[Tile(0, 1, 44)] = store[Tile(0, 1)]
    assert tiles.read_root(300, wider.fetch) == merkle.root(leaf_hashes(300))
    edge = Edge.read(300, wider.fetch)
    assert edge.root() == merkle.root(leaf_hashes(300))
    tail = store[Tile(0, 1, 44)] + bytes(320)
    assert edge.append([bytes(32)] * 10) == [(Tile(0, 1, 54), tail)]


def test_tiles_of_the_wrong_length() -> None:
    _, store = grown(300)
    good = store[Tile(0, 1, 44)]
    for bad in (b"", good[:-32], good[:-1], good + b"\0", good + bytes(32 * 213)):
        changed = Store(store)
        changed[Tile(0, 1, 44)] = bad
        with pytest.raises(TileError):
            tiles.read_root(300, changed.fetch)
        with pytest.raises(TileError):
            Edge.read(300, changed.fetch)
    with pytest.raises(TileError, match="number of tiles"):
        tiles.read_root(300, lambda wanted: [])


def test_a_changed_tile_breaks_the_proofs_that_use_it() -> None:
    """No byte of a tile can change without a proof or the root telling."""
    edge, store = grown(600)
    hashes = leaf_hashes(600)
    for tile, data in store.items():
        for at in range(tile.width):
            changed = Store(store)
            changed[tile] = flip(data, 32 * at + at % 32)
            read = TileReader(600, changed.fetch)
            # The hash itself is not on its own leaf's path, but on its neighbour's.
            index = (tile.index * 256 + at ^ 1) << 8 * tile.level
            if index >= 600:
                assert tiles.read_root(600, changed.fetch) != edge.root()
                continue
            path = merkle.inclusion_proof(index, 600, read)
            with pytest.raises(merkle.ProofError):
                merkle.verify_inclusion(hashes[index], index, 600, path, edge.root())


def test_nodes_outside_the_log() -> None:
    _, store = grown(300)
    read = TileReader(300, store.fetch)
    for node in (Node(0, 300), Node(8, 1), Node(9, 0), Node(2, 75), Node(0, -1)):
        with pytest.raises(TileError):
            read([node])
    assert read([]) == []
    assert read([Node(2, 74)]) == reader(leaf_hashes(300))([Node(2, 74)])
    for size in (-1, 2**63):
        with pytest.raises(TileError):
            tiles.read_root(size, store.fetch)


def test_an_edge_refuses_what_is_no_hash() -> None:
    edge = Edge()
    edge.append(leaf_hashes(3))
    with pytest.raises(MerkleError):
        edge.append([b"short"])
    assert (edge.size, edge.root()) == (3, rfc6962.mth(leaf_hashes(3)))


@thorough
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_bundles_round_trip(entries: list[bytes]) -> None:
    data = tiles.bundle_bytes(entries)
    assert tiles.parse_bundle(data, len(entries)) == entries
    for bad in (data + b"\0", data + b"\0\0", data[:-1], data[1:]):
        try:
            assert tiles.bundle_bytes(tiles.parse_bundle(bad, len(entries))) == bad
        except TileError:
            continue
        # Another bundle of as many entries is no malformed one.
        assert bad == data[1:]


def test_bundles_that_are_none() -> None:
    assert tiles.bundle_bytes([b"ab", b""]) == b"\x00\x02ab\x00\x00"
    assert len(tiles.bundle_bytes([bytes(65_535)])) == 65_537
    for entries in ([], [b""] * 257, [bytes(65_536)]):
        with pytest.raises(TileError):
            tiles.bundle_bytes(entries)
    for data, width in ((b"", 1), (b"\0", 1), (b"\0\1", 1), (b"\0\0", 2), (b"", 256)):
        with pytest.raises(TileError):
            tiles.parse_bundle(data, width)
