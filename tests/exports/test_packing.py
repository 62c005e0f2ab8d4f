"""An export's tar: what it has, what it never has, and what is not read for it."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from votepyramid.auditors import packing
from votepyramid.auditors.exports_folder import ExportsFolder
from votepyramid.auditors.folder import SUMS, FolderError

SIZES = (0, 1, 511, 512, 513, 70_000)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of exports, and an export in it."""
    folder = tmp_path / "exports" / "one"
    for size in SIZES:
        path = folder / "histories" / f"{size % 7:02}" / f"{size}.json.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    (folder / SUMS).write_text("a list\n")
    (tmp_path / "exports").chmod(0o700)
    return folder


def packed(place: Path) -> bytes:
    return b"".join(packing.stream(place, "export-demo"))


def test_files_come_out_as_they_are_without_times_and_owners(place: Path) -> None:
    data = packed(place)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        top, *entries = tar.getmembers()
        assert (top.name, top.isdir(), top.mode) == ("export-demo", True, 0o700)
        assert len(entries) == len(SIZES) + 1
        for entry in entries:
            assert entry.isreg() and entry.mode == 0o600
            assert (entry.mtime, entry.uid, entry.gid) == (0, 0, 0)
            assert (entry.uname, entry.gname) == ("", "")
            path = Path(entry.name)
            assert path.parts[0] == "export-demo" and ".." not in path.parts
            opened = tar.extractfile(entry)
            assert opened is not None
            assert opened.read() == place.joinpath(*path.parts[1:]).read_bytes()
    # In an order that says nothing, and of a size that is known before.
    assert data == packed(place)
    assert len(data) == ExportsFolder(str(place.parent)).share("one")


def test_no_link_is_followed(place: Path, tmp_path: Path) -> None:
    """Whoever writes exports must not have the pages read anything else."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "codec.json").write_text("the key ring")
    (place / "histories" / "folder").symlink_to(secret)
    assert b"the key ring" not in packed(place)
    (place / "manifest.json").symlink_to(secret / "codec.json")
    with pytest.raises(FolderError, match="cannot read"):
        packed(place)
    (place / "manifest.json").unlink()
    os.mkfifo(place / "manifest.json")
    with pytest.raises(FolderError, match="is not a file"):
        packed(place)
    (tmp_path / "exports" / "two").symlink_to(secret)
    assert len(packed(tmp_path / "exports" / "two")) == packing.FRAME


def test_it_is_the_export_that_was_finished(place: Path) -> None:
    sums = hashlib.sha256(b"a list\n").hexdigest()
    packing.check(place, sums)
    with pytest.raises(FolderError, match="is not the list of this export"):
        packing.check(place, "0" * 64)
    (place / SUMS).unlink()
    with pytest.raises(FolderError, match="No such file"):
        packing.check(place, sums)


def test_a_file_that_goes_in_the_middle_ends_it(place: Path) -> None:
    pieces = packing.stream(place, "export-demo")
    next(pieces)
    for path in (place / "histories").rglob("*.gz"):
        path.unlink()
    # What is left is shorter than was said; whoever sends it cuts it off.
    assert sum(map(len, pieces)) < 70_000
