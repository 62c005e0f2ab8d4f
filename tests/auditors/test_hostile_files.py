"""What somebody who signs an export can put into its files, and that it is named."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from tests.auditors.conftest import Bureau
from tests.auditors.test_sealed_anew import seal
from tests.support.elections import MadeElection
from tests.support.voting import at_once
from votepyramid.auditors import case
from votepyramid.auditors import folder as folders
from votepyramid.auditors.case import Discrepancy
from votepyramid.auditors.folder import SEAL, SUMS
from votepyramid.auditors.outside import Outside
from votepyramid.auditors.verifying import verify
from votepyramid.protocol import notes
from votepyramid.protocol.auditevent import encode_entry, parse_entry
from votepyramid.protocol.checkpoint import Checkpoint, sign_checkpoint
from votepyramid.protocol.leaf import leaf_bytes, leaf_hash, parse_leaf
from votepyramid.protocol.tiles import (
    Edge,
    bundle_bytes,
    bundles_of_growth,
    parse_bundle,
)


@pytest.fixture(scope="module")
def election(bureau: Bureau) -> MadeElection:
    made = bureau.engine.make_election(id="hostile-files", voters=3)
    (door,) = bureau.engine.doors(made)
    ballots = at_once(lambda n: door.ballot(f"v{n}"), range(3))
    assert {one.status_code for one in at_once(door.cast, ballots)} == {200}
    bureau.sequence()
    return made


@pytest.fixture(scope="module")
def exported(
    bureau: Bureau, election: MadeElection, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "export"
    assert bureau.export(election.id, folder).returncode == 0
    return folder


@pytest.fixture
def export(exported: Path, tmp_path: Path) -> Path:
    """A copy, to be spoilt."""
    return Path(shutil.copytree(exported, tmp_path / "export"))


@pytest.mark.parametrize("what", ["tag", "ciphertext"])
def test_no_two_leaves_share_one(
    export: Path, election: MadeElection, what: str
) -> None:
    (bundle,) = bundles_of_growth(0, 3)
    path = export / "receipt-log" / bundle.path
    leaves = parse_bundle(path.read_bytes(), 3)
    first, fresh = parse_leaf(leaves[0]), os.urandom(32)
    c, t = (fresh, first.t) if what == "tag" else (first.c, fresh)
    log_anew(export, election, [*leaves, leaf_bytes(c, election.id, election.m, t)])
    found = check(export, election)
    assert (found.check, found.problem) == ("receipt-log", f"1 leaves repeat a {what}")


@pytest.mark.parametrize("log", ["receipt-log", "audit-log"])
@pytest.mark.parametrize(
    "name",
    [
        "tile/notes.txt",
        # Of a shorter log, and of longer ones.
        "tile/entries/000.p/2",
        "tile/0/000.p/2",
        "tile/0/000.p/255",
        "tile/entries/000",
        "tile/1/000.p/1",
        "tile/0/001",
        # Not as it is written.
        "tile/0/000.p/03",
    ],
)
def test_no_file_lies_in_a_log_that_is_none_of_it(
    export: Path, election: MadeElection, log: str, name: str
) -> None:
    write(export / log / name, b"seen by nobody")
    found = check(export, election)
    assert (found.check, f"{log}/{name} is no file of a log of" in found.problem) == (
        log,
        True,
    ), str(found)


@pytest.mark.parametrize("kind", ["token_issued", "vote_accepted"])
def test_nothing_is_recorded_before_the_opening(
    export: Path, election: MadeElection, kind: str
) -> None:
    """By who has the key of the audit log, and writes the truth into it."""
    (path,) = (export / "audit-log/tile/entries").glob("000.p/*")
    entries = parse_bundle(path.read_bytes(), int(path.name))
    events = [parse_entry(entry) for entry in entries]
    at = next(number for number, one in enumerate(events) if one.kind == kind)
    early = events[at]._replace(at=events[at].at - timedelta(hours=2))
    entries[at] = encode_entry(early)
    log_anew(export, election, entries, "audit-log")
    found = check(export, election)
    said = f"{kind} in the hour of {early.at:%Y-%m-%dT%H:00:00Z}, before it was opened"
    assert (found.check, said in found.problem) == ("voting time", True), str(found)


def test_no_file_is_listed_twice(export: Path, election: MadeElection) -> None:
    """Of two hashes of a file, a reader takes the one, another reader the other."""
    digest, name = hashlib.sha256(b"another").hexdigest(), "election.json"
    sums = (export / SUMS).read_bytes() + f"{digest}  {name}\n".encode()
    (export / SUMS).write_bytes(sums)
    key = election.keys.signer(election.id, "statements")
    origin = election.manifest["receipts"]["origin"]
    text = folders._text(origin, election.m, sums)
    (export / SEAL).write_text(notes.sign(text, key))
    _, found = verify(export, Outside(), lambda *_: None)
    assert found is not None
    assert (found.check, "or one twice" in found.problem) == ("files", True), str(found)


def test_a_file_that_unpacks_without_end_is_not_unpacked(
    export: Path, election: MadeElection
) -> None:
    bomb = gzip.compress(bytes(folders.MAX_UNPACKED + 1), 9)
    assert len(bomb) < 1_000_000
    path = export / "receipts/00000.jsonl.gz"
    path.write_bytes(bomb)
    found = check(export, election)
    said = f"unpacks to more than {folders.MAX_UNPACKED} bytes"
    assert (found.check, said in found.problem) == ("files", True), str(found)


def test_work_that_does_not_end_is_named(
    export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case, "JOB_S", 0.0)
    _, found = verify(export, Outside(), lambda *_: None)
    assert found is not None
    said = "work on receipts/00000.jsonl.gz does not end in 0 s"
    assert (found.check, found.problem) == ("receipts", said)


def check(folder: Path, election: MadeElection) -> Discrepancy:
    seal(folder, election)
    _, found = verify(folder, Outside(), lambda *_: None)
    assert found is not None
    return found


def log_anew(
    folder: Path,
    election: MadeElection,
    leaves: Sequence[bytes],
    log: str = "receipt-log",
) -> None:
    """A log of these leaves, fewer than a tile holds, under its own key."""
    place, edge = folder / log, Edge()
    shutil.rmtree(place)
    for tile, content in edge.append([leaf_hash(leaf) for leaf in leaves]):
        write(place / tile.path, content)
    (bundle,) = bundles_of_growth(0, len(leaves))
    write(place / bundle.path, bundle_bytes(leaves))
    key = election.keys.signer(election.id, log)
    said = Checkpoint(key.verifier.name, len(leaves), edge.root())
    write(place / "checkpoint", sign_checkpoint(said, key).encode())


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
