"""A log as a web server would have it: a folder of tiles, entries and a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from votepyramid.protocol import checkpoint, cosignature, merkle, notes, tiles
from votepyramid.protocol.checkpoint import Checkpoint
from votepyramid.protocol.cosignature import WitnessKey
from votepyramid.protocol.leaf import leaf_hash
from votepyramid.protocol.tiles import Bundle, Edge, Tile, TileReader
from votepyramid.protocol.tlogproof import TlogProof

ORIGIN = "votepyramid.example/log"
KEY = notes.generate(ORIGIN)
WITNESSES = tuple(notes.generate(f"witness.example/w{n}") for n in (1, 2))
WITNESS_KEYS = tuple(WitnessKey.of(one.verifier) for one in WITNESSES)


def entry(index: int) -> bytes:
    return b"entry %d of the log" % index


@dataclass(frozen=True)
class WrittenLog:
    """A log in a folder; every byte of it is made by the engine's own code."""

    folder: Path
    size: int
    root: bytes
    note: str

    def fetch(self, wanted: Sequence[Tile]) -> list[bytes]:
        return [(self.folder / tile.path).read_bytes() for tile in wanted]

    def path(self, index: int) -> list[bytes]:
        return merkle.inclusion_proof(
            index, self.size, TileReader(self.size, self.fetch)
        )

    def proof(self, index: int) -> TlogProof:
        return TlogProof(index, tuple(self.path(index)), self.note)

    def files(self) -> list[Path]:
        """The tiles and bundles of exactly this size."""
        made: list[Tile | Bundle] = [*tiles.tiles_of_growth(0, self.size)]
        made += tiles.bundles_of_growth(0, self.size)
        return [self.folder / one.path for one in made]


def write_log(folder: Path, *sizes: int) -> WrittenLog:
    """A log that grew through these sizes, each with its cosigned checkpoint."""
    edge = Edge()
    note = ""
    for size in sizes:
        before = edge.size
        entries = [entry(index) for index in range(size)]
        for tile, data in edge.append(map(leaf_hash, entries[before:])):
            _write(folder / tile.path, data)
        for bundle in tiles.bundles_of_growth(before, size):
            cut = entries[bundle.begin : bundle.begin + bundle.width]
            _write(folder / bundle.path, tiles.bundle_bytes(cut))
        note = sign(Checkpoint(ORIGIN, size, edge.root()))
        _write(folder / "checkpoint", note.encode())
        _write(folder / f"checkpoint.{size}", note.encode())
    return WrittenLog(folder, edge.size, edge.root(), note)


def sign(head: Checkpoint) -> str:
    """The checkpoint, signed by the log and both witnesses."""
    note = checkpoint.sign_checkpoint(head, KEY)
    lines = [cosignature.cosign(note, one, 1_700_000_000) for one in WITNESSES]
    return note + "".join(lines)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
