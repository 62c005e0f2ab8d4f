"""Trees for the tests of the log: leaves, a reader over them, and every wrong proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from tests.protocol import rfc6962
from tests.protocol.support import flip
from votepyramid.protocol.merkle import Node

# The leaves of the reference tree of Certificate Transparency, and the roots of its
# first 1 to 8 leaves, which every implementation of RFC 6962 knows.
REFERENCE_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
REFERENCE_ROOTS = [
    bytes.fromhex(text)
    for text in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
Wrong = tuple[bytes, int, int, list[bytes], bytes]
WrongGrowth = tuple[int, int, list[bytes], bytes, bytes]


@cache
def leaf_hashes(size: int) -> list[bytes]:
    """Leaf hashes of `size` different entries."""
    return [rfc6962.leaf(b"entry %d" % index) for index in range(size)]


def reader(hashes: list[bytes]) -> Callable[[Sequence[Node]], list[bytes]]:
    """Any node of the tree over these leaf hashes, computed from the definition."""

    def read(nodes: Sequence[Node]) -> list[bytes]:
        return [
            rfc6962.mth(hashes[node.index << node.level : node.index + 1 << node.level])
            for node in nodes
        ]

    return read


def wrong_inclusions(
    leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes
) -> list[Wrong]:
    """The mutations of transparency-dev's test vectors of inclusion, by their rules."""
    some = bytes.fromhex("abacaba0" + "00" * 20 + "60061e0012345600")
    empty = rfc6962.mth([])
    wrong: list[Wrong] = [
        *((leaf, at, size, proof, root) for at in (index - 1, index + 1, index ^ 2)),
        *((leaf, index, total, proof, root) for total in (size * 2, size // 2)),
        *((bad, index, size, proof, root) for bad in (b"WrongLeaf", b"", some)),
        *((leaf, index, size, proof, bad) for bad in (empty, some, b"")),
    ]
    wrong += [(leaf, index, size, bad, root) for bad in wrong_lists(proof, [root])]
    if len(proof) > 1:
        inserted = [proof[0], some, *proof[1:]]
        wrong.append((leaf, index, size, inserted, root))
    return wrong


def wrong_growths(
    old: int, new: int, proof: list[bytes], old_root: bytes, new_root: bytes
) -> list[WrongGrowth]:
    """The mutations of transparency-dev's test vectors of consistency."""
    roots = (old_root, new_root)
    bad_root = b"WrongRoot"
    return [
        *((size, new, proof, *roots) for size in (old - 1, old + 1, old ^ 2)),
        *((old, size, proof, *roots) for size in (new * 2, new // 2)),
        (old, new, proof, bad_root, new_root),
        (old, new, proof, old_root, bad_root),
        (old, new, proof, new_root, old_root),
        (old, new, [], *roots),
        *((old, new, bad, *roots) for bad in wrong_lists(proof, [*roots, *proof[:1]])),
    ]


def wrong_lists(proof: list[bytes], strangers: list[bytes]) -> list[list[bytes]]:
    """A hash too many at either end, one too few, or one bit changed."""
    wrong = [[*proof, bad] for bad in (b"", *strangers)]
    wrong += [[bad, *proof] for bad in (b"", *strangers)]
    if proof:
        wrong.append(proof[:-1])
    for at, one in enumerate(proof):
        wrong.append([*proof[:at], flip(one, 0, 8), *proof[at + 1 :]])
    return wrong
