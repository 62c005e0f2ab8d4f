"""Asks aics-tlog about changed bytes. A program for its own environment.

Nothing of the engine can be imported here. A question is one JSON object a line, as the
judge's `changes` has them, and so is each answer.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aics_tlog import (
    FileSystemTileReader,
    TileVerificationError,
    VerifiedTileReader,
    parse_note,
    parse_vkey,
    verify_checkpoint,
    verify_consistency,
    verify_inclusion,
)
from aics_tlog.tiles import parse_entry_bundle_path, parse_tile_path

HASH_BYTES = 32
Check = Callable[[bytes], bool]


class Changed:
    """A reader of a log's folder with one file changed."""

    def __init__(self, folder: Path, path: str) -> None:
        self._files = FileSystemTileReader(folder)
        self.entries = path.startswith("tile/entries/")
        parse = parse_entry_bundle_path if self.entries else parse_tile_path
        self.place = parse(path)
        self.data = (folder / path).read_bytes()
        self._known: dict[object, bytes | None] = {}

    def read_tile(self, level: int, index: int, width: int | None) -> bytes | None:
        place = level, index, width
        if place == self.place:
            return self.data
        if place not in self._known:
            self._known[place] = self._files.read_tile(*place)
        return self._known[place]

    def read_entry_bundle(self, index: int, width: int | None) -> bytes | None:
        if (index, width) == self.place:
            return self.data
        return self._files.read_entry_bundle(index, width)


def checkpoint(asked: dict[str, Any]) -> tuple[bytes, Check]:
    key = parse_vkey(asked["key"])
    witnesses = [parse_vkey(text) for text in asked["witnesses"]]

    def check(data: bytes) -> bool:
        try:
            note = parse_note(data)
        except ValueError:
            return False
        found = verify_checkpoint(
            note, key, witnesses, len(witnesses), expected_origin=asked["origin"]
        )
        return bool(found.ok)

    return b64decode(asked["data"]), check


def file(asked: dict[str, Any]) -> tuple[bytes, Check]:
    folder = Path(asked["dir"])
    size, root = asked["size"], b64decode(asked["root"])
    reader = Changed(folder, asked["path"])
    good = reader.data

    def check(data: bytes) -> bool:
        reader.data = data
        log = VerifiedTileReader(reader, size, root)
        try:
            if reader.entries:
                log.entry(reader.place[0] * 256)
            else:
                level, index, _ = reader.place
                log.leaf_hash(index << 8 * (level + 1))
        except TileVerificationError:
            return False
        return True

    return good, check


def proof(asked: dict[str, Any]) -> tuple[bytes, Check]:
    def check(data: bytes) -> bool:
        hashes = [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
        root, first, *path = hashes
        if asked["of"] == "inclusion":
            return bool(
                verify_inclusion(first, asked["index"], asked["size"], path, root)
            )
        return bool(verify_consistency(asked["old"], asked["size"], first, root, path))

    return b64decode(asked["data"]), check


KINDS = {
    "checkpoint": checkpoint,
    "file": file,
    "inclusion": proof,
    "consistency": proof,
}


def changes(asked: dict[str, Any]) -> dict[str, Any]:
    good, check = KINDS[asked["of"]](asked)
    if not check(good):
        return {"good": "refused", "tried": 0, "accepted": []}
    masks, accepted, changed = b64decode(asked["masks"]), [], bytearray(good)
    for at in range(len(good)):
        for mask in masks:
            changed[at] ^= mask
            if check(bytes(changed)):
                accepted.append([at, mask])
            changed[at] ^= mask
    return {"good": "", "tried": len(good) * len(masks), "accepted": accepted}


for line in sys.stdin:
    print(json.dumps(changes(json.loads(line))), flush=True)
