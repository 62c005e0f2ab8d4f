"""Somebody who reads the public log over HTTP, and votes that come into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from tests.support.voting import Ballot, Door, at_once
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol import tiles
from votepyramid.protocol.checkpoint import Checkpoint, open_checkpoint
from votepyramid.protocol.tiles import Bundle, Tile


class Reader:
    """Somebody who knows the signed manifest, and asks over HTTP."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.key = manifests.signer(door.election.manifest, "receipt_log")

    def get(self, rest: str) -> httpx2.Response:
        return self.door.http.get(self.door.path(rest))

    def checkpoint(self) -> Checkpoint:
        answer = self.get("log/checkpoint")
        assert answer.status_code == 200, answer.text
        return open_checkpoint(answer.text, self.key.name, self.key)

    def file(self, wanted: Tile | Bundle) -> bytes:
        answer = self.get(f"log/{wanted.path}")
        assert answer.status_code == 200, wanted.path
        return answer.content

    def tiles(self, wanted: Any) -> list[bytes]:
        return [self.file(tile) for tile in wanted]

    def entries(self, begin: int, size: int) -> list[bytes]:
        """The entries [begin, size) of a log with one bundle."""
        data = self.file(Bundle(0, size))
        found = []
        while data:
            length = int.from_bytes(data[:2])
            found.append(data[2 : 2 + length])
            data = data[2 + length :]
        return found[begin:]

    def download(self, folder: Path) -> Checkpoint:
        """Everything of the log as the newest checkpoint has it, as files."""
        head = self.checkpoint()
        _write(folder / "checkpoint", self.get("log/checkpoint").content)
        made: list[Tile | Bundle] = [*tiles.tiles_of_growth(0, head.size)]
        for wanted in (*made, *tiles.bundles_of_growth(0, head.size)):
            _write(folder / wanted.path, self.file(wanted))
        return head


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def cast(reader: Reader, *numbers: int) -> list[Ballot]:
    ballots = at_once(lambda n: reader.door.ballot(f"v{n}"), numbers)
    for answer in at_once(reader.door.cast, ballots):
        assert answer.status_code == 200, answer.text
    return ballots
