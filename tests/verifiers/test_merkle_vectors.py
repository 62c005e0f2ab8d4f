"""Transparency-dev's own test vectors of Merkle proofs, all of them.

No release of the module carries them as files. They are in its tests, as Go: the good
proofs and roots as constants, the bad ones made from these. So its tests run here, in a
copy of the module in which the two verifiers write down every call and its outcome, and
ours must rule alike.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import needs
from tests.verifiers.judging import SOURCE
from votepyramid.protocol import merkle
from votepyramid.protocol.merkle import ProofError

pytestmark = [needs.needs("go"), pytest.mark.timeout(600)]
MODULE = "github.com/transparency-dev/merkle"
RECORDER = Path(__file__).parent / "vectors" / "recorder.go"
TESTS = ("./proof", "./testonly")


@dataclass(frozen=True)
class Vector:
    """One call: `first` is an index or the old size, `hash` a leaf or the old root."""

    kind: str
    first: int
    size: int
    hash: bytes
    root: bytes
    proof: tuple[bytes, ...]
    accepted: bool

    def ours(self) -> bool:
        """Whether our verifier accepts."""
        check: Any = merkle.verify_inclusion
        arguments: tuple[Any, ...] = (self.hash, self.first, self.size)
        if self.kind == "consistency":
            check, arguments = merkle.verify_consistency, (self.first, self.size)
            ends = (list(self.proof), self.hash, self.root)
        else:
            ends = (list(self.proof), self.root)
        try:
            check(*arguments, *ends)
        except ProofError:
            return False
        return True


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> list[Vector]:
    go, folder = needs.go_program(), tmp_path_factory.mktemp("vectors")
    assert go is not None
    copy, written = folder / "merkle", folder / "vectors.jsonl"
    shutil.copytree(_module(go), copy)
    _instrument(copy)
    # Each test once, its fuzzers' seeds included.
    words = [go, "test", "-count=1", "-p=1", "-vet=off", "-mod=mod", *TESTS]
    env = {**os.environ, "GOFLAGS": "", "CGO_ENABLED": "0", "VECTORS": str(written)}
    done = subprocess.run(
        words, cwd=copy, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [_vector(json.loads(line)) for line in written.read_text().splitlines()]


def _module(go: str) -> Path:
    """The module as the judge's go.mod and go.sum pin it."""
    words = [go, "mod", "download", "-json", MODULE]
    done = subprocess.run(
        words, cwd=SOURCE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(json.loads(done.stdout)["Dir"])


def _instrument(copy: Path) -> None:
    """Go's module cache is read only, and so is what is copied from it."""
    for path in (copy, *copy.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    source = copy / "proof" / "verify.go"
    text = source.read_text()
    for name in ("Inclusion", "Consistency"):
        assert text.count(f"\nfunc Verify{name}(") == 1
        text = text.replace(f"\nfunc Verify{name}(", f"\nfunc verify{name}(")
    source.write_text(text)
    shutil.copy(RECORDER, copy / "proof" / "recorder.go")


def _vector(said: dict[str, Any]) -> Vector:
    raw = [base64.b64decode(said[name] or "") for name in ("Hash", "Root")]
    proof = tuple(base64.b64decode(one or "") for one in said["Proof"] or ())
    return Vector(
        said["Kind"], said["First"], said["Size"], *raw, proof, said["Accepted"]
    )


def stricter(one: Vector) -> bool:
    """What the library accepts and we do not: roots that no tree can have.

    It compares two roots of one size whatever they are, and looks at neither when a
    log grows from nothing.
    """
    if one.kind != "consistency" or not one.accepted:
        return False
    if {len(one.hash), len(one.root)} != {merkle.HASH_BYTES}:
        return True
    return one.first == 0 and one.hash != merkle.EMPTY_ROOT


def test_every_vector_is_ruled_alike(vectors: list[Vector]) -> None:
    for one in vectors:
        assert one.ours() == (one.accepted and not stricter(one)), one


def test_all_of_them_were_asked(vectors: list[Vector]) -> None:
    """As many as release v0.0.2 has: else less was compared than is said."""
    assert Counter((one.kind, one.accepted) for one in vectors) == {
        ("inclusion", True): 42,
        ("inclusion", False): 92,
        ("consistency", True): 173,
        ("consistency", False): 89,
    }
    assert sum(map(stricter, vectors)) == 3
