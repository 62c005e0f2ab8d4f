"""Go's sumdb and aics-tlog refuse every change of one byte of what is served."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import needs
from tests.verifiers.asking import ALL, BITS, Asked
from tests.verifiers.logs import (
    KEY,
    ORIGIN,
    WITNESS_KEYS,
    WrittenLog,
    entry,
    write_log,
)
from votepyramid.protocol import merkle
from votepyramid.protocol.leaf import leaf_hash
from votepyramid.protocol.tiles import TileReader

# The first build compiles Go's own cryptography as well.
pytestmark = pytest.mark.timeout(600)
JUDGE, AICS = "Go's libraries", "aics-tlog"
KEYS = {"origin": ORIGIN, "key": KEY.verifier.text()}
WITNESSES = [key.text() for key in WITNESS_KEYS]
# The fewest entries with tiles on three levels, full and partial ones on the lower two.
SIZE = 256 * 257 + 37
FILES = (
    "tile/0/000",
    "tile/0/257.p/37",
    "tile/1/000",
    "tile/1/001.p/1",
    "tile/2/000.p/1",
    "tile/entries/000",
    "tile/entries/257.p/37",
)


@pytest.fixture(
    params=[pytest.param(JUDGE, marks=needs.needs("go")), AICS], scope="module"
)
def verifier(request: pytest.FixtureRequest) -> Iterator[Asked]:
    if request.param == JUDGE:
        yield request.getfixturevalue("judge")
    else:
        yield request.getfixturevalue("tool").asked


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> WrittenLog:
    return write_log(tmp_path_factory.mktemp("log"), SIZE)


def test_every_change_of_a_checkpoint_is_refused(
    verifier: Asked, log: WrittenLog
) -> None:
    """Plain, where every byte becomes every other one, and cosigned, bit by bit."""
    # Three lines of text, an empty one, and the log's own signature.
    plain = "".join(log.note.splitlines(keepends=True)[:5])
    for note, witnesses, masks in ((plain, [], ALL), (log.note, WITNESSES, BITS)):
        asked: dict[str, Any] = {**KEYS, "witnesses": witnesses, "data": note.encode()}
        assert verifier.accepted_changes("checkpoint", masks, **asked) == []


@pytest.mark.parametrize("path", FILES)
def test_every_changed_byte_of_a_file_is_refused(
    verifier: Asked, log: WrittenLog, path: str
) -> None:
    asked: dict[str, Any] = {**KEYS, "witnesses": WITNESSES}
    asked |= {"size": log.size, "root": log.root}
    asked |= {"dir": str(log.folder), "path": path}
    # What is hashed does not care which bit it was.
    assert verifier.accepted_changes("file", b"\x01", **asked) == []


@pytest.mark.needs("go")
def test_every_change_of_a_proof_file_is_refused(log: WrittenLog, judge: Asked) -> None:
    for index in (0, SIZE - 1):
        asked = {**KEYS, "witnesses": WITNESSES, "leaf": leaf_hash(entry(index))}
        data = log.proof(index).data()
        assert judge.accepted_changes("proof", data=data, **asked) == []


def test_every_changed_bit_of_an_inclusion_proof_is_refused(
    verifier: Asked, log: WrittenLog
) -> None:
    for index in (0, 65_535, SIZE - 1):
        hashes = [log.root, leaf_hash(entry(index)), *log.path(index)]
        asked = {"index": index, "size": log.size, "data": b"".join(hashes)}
        assert verifier.accepted_changes("inclusion", **asked) == []


def test_every_changed_bit_of_a_consistency_proof_is_refused(
    verifier: Asked, log: WrittenLog
) -> None:
    reader = TileReader(log.size, log.fetch)
    for old in (1, 256, 65_537):
        proof = merkle.consistency_proof(old, log.size, reader)
        before = merkle.root([leaf_hash(entry(index)) for index in range(old)])
        hashes = [log.root, before, *proof]
        asked = {"old": old, "size": log.size, "data": b"".join(hashes)}
        assert verifier.accepted_changes("consistency", **asked) == []
