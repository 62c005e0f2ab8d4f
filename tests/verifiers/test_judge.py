"""What Go's libraries make of our logs and proofs: golang.org/x/mod/sumdb (note, tlog)
and transparency-dev's merkle and formats, in the program `judge`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.protocol import rfc6962
from tests.protocol.trees import (
    REFERENCE_LEAVES,
    leaf_hashes,
    reader,
    wrong_growths,
    wrong_inclusions,
)
from tests.support import needs
from tests.verifiers.judging import Judge
from tests.verifiers.logs import KEY, ORIGIN, WITNESS_KEYS, entry, write_log
from votepyramid.protocol import merkle
from votepyramid.protocol.leaf import leaf_hash
from votepyramid.protocol.merkle import ProofError

# The first build compiles Go's own cryptography as well.
pytestmark = [needs.needs("go"), pytest.mark.timeout(600)]
KEYS = {
    "origin": ORIGIN,
    "key": KEY.verifier.text(),
    "witnesses": [key.text() for key in WITNESS_KEYS],
}


@pytest.mark.parametrize(
    "sizes",
    [(1,), (2,), (3, 255), (256,), (200, 257), (511, 512, 700), (65_000, 66_000)],
)
def test_logs_are_accepted(
    judge: Judge, tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    log = write_log(tmp_path, *sizes)
    assert judge.accepts_log(log.folder, **KEYS)


def test_files_of_another_length_are_refused(judge: Judge, tmp_path: Path) -> None:
    log = write_log(tmp_path, 300, 520)
    for file in (*log.files(), tmp_path / "checkpoint"):
        good = file.read_bytes()
        for bad in (good[:-1], good + b"\0", b""):
            file.write_bytes(bad)
            assert not judge.accepts_log(log.folder, **KEYS), file
        file.write_bytes(good)
    assert judge.accepts_log(log.folder, **KEYS)


def test_proofs_are_accepted_and_another_leaf_refused(
    judge: Judge, tmp_path: Path
) -> None:
    log = write_log(tmp_path, 70)
    for index in range(70):
        data, leaf = log.proof(index).data(), leaf_hash(entry(index))
        assert judge.accepts_proof(data, leaf, **KEYS)
        assert not judge.accepts_proof(data, leaf_hash(entry(index + 1)), **KEYS)
    with_extra = log.proof(69)
    changed = type(with_extra)(69, with_extra.hashes, log.note, b"for context")
    assert judge.accepts_proof(changed.data(), leaf, **KEYS)


def ours_inclusion(
    leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes
) -> bool:
    try:
        merkle.verify_inclusion(leaf, index, size, proof, root)
    except ProofError:
        return False
    return True


def ours_growth(
    old: int, new: int, proof: list[bytes], old_root: bytes, new_root: bytes
) -> bool:
    try:
        merkle.verify_consistency(old, new, proof, old_root, new_root)
    except ProofError:
        return False
    return True


def trees() -> list[list[bytes]]:
    """The reference tree of Certificate Transparency, and some larger ones."""
    reference = [leaf_hash(one) for one in REFERENCE_LEAVES]
    chosen = random.Random(6962)
    sizes = [*range(9, 20), *(chosen.randrange(20, 600) for _ in range(12))]
    grown = [reference[:size] for size in range(1, 9)]
    return grown + [leaf_hashes(size) for size in sizes]


def test_inclusion_is_judged_alike(judge: Judge) -> None:
    """With every mutation of transparency-dev's own vectors."""
    chosen, judged = random.Random(2), 0
    for hashes in trees():
        size, root = len(hashes), rfc6962.mth(hashes)
        for index in {0, size // 2, size - 1, chosen.randrange(size)}:
            proof = merkle.inclusion_proof(index, size, reader(hashes))
            good = (hashes[index], index, size, proof, root)
            for case in (good, *wrong_inclusions(*good)):
                leaf, at, total, path, claimed = case
                assert ours_inclusion(*case) == (case == good)
                assert judge.ask(
                    "inclusion",
                    leaf=leaf,
                    index=at % 2**64,
                    size=total,
                    hashes=path,
                    root=claimed,
                ) == dict.fromkeys(("merkle", "tlog"), case == good), case
                judged += 1
    assert judged > 1500


def test_consistency_is_judged_alike(judge: Judge) -> None:
    chosen, judged = random.Random(3), 0
    for hashes in trees():
        new, root = len(hashes), rfc6962.mth(hashes)
        for old in {1, new // 2 or 1, new, chosen.randrange(new) + 1}:
            proof = merkle.consistency_proof(old, new, reader(hashes))
            good = (old, new, proof, rfc6962.mth(hashes[:old]), root)
            # As its authors do: a proof without hashes has nothing to change.
            for case in (good, *(wrong_growths(*good) if proof else ())):
                before, total, path, old_root, claimed = case
                assert ours_growth(*case) == (case == good)
                assert judge.ask(
                    "consistency",
                    old=before % 2**64,
                    size=total,
                    hashes=path,
                    old_root=old_root,
                    root=claimed,
                ) == dict.fromkeys(("merkle", "tlog"), case == good), case
                judged += 1
    assert judged > 1000


def test_where_the_libraries_rule_otherwise(judge: Judge) -> None:
    """Growth from nothing: accepted by merkle for any old root, by tlog for none."""
    one, empty = leaf_hashes(1)[0], merkle.EMPTY_ROOT
    for old_root, size, root, ours in (
        (empty, 1, one, True),
        (one, 1, one, False),
        (empty, 0, empty, True),
        (one, 0, one, False),
    ):
        assert ours_growth(0, size, [], old_root, root) == ours
        assert judge.ask(
            "consistency", old=0, size=size, hashes=[], old_root=old_root, root=root
        ) == {"merkle": True, "tlog": False}
    assert not ours_growth(0, 1, [empty], empty, one)
    assert not any(
        judge.ask(
            "consistency", old=0, size=1, hashes=[empty], old_root=empty, root=one
        ).values()
    )
