"""Shared by the protocol's tests: vector files and a small election."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import settings

from votepyramid.protocol import notes
from votepyramid.protocol.encoding import b64u
from votepyramid.protocol.identifiers import key_id
from votepyramid.protocol.suites import SUITES

VECTORS = Path(__file__).parent.parent / "vectors"
ORIGIN = "votepyramid.example/demo"

# Key generation makes single examples slow; a deadline would only measure that.
relaxed = settings(deadline=None)
thorough = settings(deadline=None, max_examples=400)


@cache
def vectors(name: str) -> Any:
    return json.loads((VECTORS / name).read_bytes())


class Election(NamedTuple):
    """An election with all its secrets, for tests."""

    manifest: dict[str, Any]
    private: bytes
    box: notes.SigningKey
    authority: notes.SigningKey


def contest(contest_id: str, ranks: int, choices: int) -> dict[str, Any]:
    return {
        "id": contest_id,
        "title": contest_id.title(),
        "ranks": ranks,
        "choices": [{"id": f"c{n}", "name": f"Choice {n}"} for n in range(choices)],
    }


def make_election(suite_id: str) -> Election:
    keys = SUITES[suite_id].generate_private_key()
    box = notes.generate(ORIGIN)
    manifest = {
        "version": 1,
        "id": "demo",
        "title": "Demo",
        "contests": [contest("mayor", 3, 5), contest("measure-1", 1, 2)],
        "styles": [
            {
                "id": "w9",
                "contests": ["mayor", "measure-1"],
                "precincts": ["W-9 P-01", "W-9 P-02"],
                "plaintext_length": 128,
            },
            {
                "id": "w8",
                "contests": ["mayor", "measure-1"],
                "precincts": ["W-8 P-01"],
                "plaintext_length": 128,
            },
        ],
        "suite": suite_id,
        "public_key": b64u(keys.public),
        "key_id": key_id(suite_id, keys.public).hex(),
        "receipts": {"origin": ORIGIN, "key": box.verifier.text()},
    }
    return Election(manifest, keys.private, box, notes.generate("authority.example"))


@cache
def election(suite_id: str) -> Election:
    """One election a suite for the whole run; tests must not change it."""
    return make_election(suite_id)


def flip(data: bytes, at: int, mask: int = 1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= mask
    return bytes(changed)
