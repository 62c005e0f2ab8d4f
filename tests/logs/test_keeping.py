"""What is kept outside the database never goes back."""

from __future__ import annotations

import fcntl
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from votepyramid.logs import keeping as folders
from votepyramid.logs.keeping import Keeping, KeepingError, KeptNewer
from votepyramid.logs.store import RECEIPTS, Log
from votepyramid.protocol import notes
from votepyramid.protocol.checkpoint import Checkpoint, read_unverified, sign_checkpoint

LOG = Log("demo", RECEIPTS)
KEY = notes.generate("votes.example/demo/log")


def note(size: int, root: bytes = bytes(32)) -> str:
    return sign_checkpoint(Checkpoint(KEY.verifier.name, size, root), KEY)


def test_a_checkpoint_gives_way_to_a_larger_one_alone(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path)
    for size in (1, 5, 5, 9):
        keeping.keep(LOG, note(size))
        assert keeping.read(LOG) == note(size)
    for other in (note(8), note(9, b"another root of thirty-two bytes")):
        with pytest.raises(KeptNewer, match="a checkpoint of 9"):
            keeping.keep(LOG, other)
    assert keeping.read(LOG) == note(9)
    # Other logs are others.
    keeping.keep(Log("other", RECEIPTS), note(1))


def test_what_is_no_checkpoint_is_not_overwritten(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path)
    path = tmp_path / "demo.receipts.checkpoint"
    path.write_text("somebody edited this")
    with pytest.raises(KeptNewer, match="is not replaced"):
        keeping.keep(LOG, note(1))
    assert path.read_text() == "somebody edited this"


def test_many_at_once_leave_the_largest(tmp_path: Path) -> None:
    sizes = random.Random(4).sample(range(1, 81), 80)

    def keep(size: int) -> None:
        # A process of its own has an instance of its own.
        try:
            Keeping(tmp_path).keep(LOG, note(size))
        except KeptNewer:
            assert kept() > size

    def kept() -> int:
        return read_unverified(Keeping(tmp_path).read(LOG) or "").size

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(keep, size) for size in sizes]:
            done.result()
    assert kept() == 80


def test_nobody_waits_for_ever_for_a_stopped_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "LOCK_TIMEOUT_S", 0.05)
    keeping = Keeping(tmp_path)
    handle = os.open(tmp_path / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(KeepingError, match="another process has held"):
        keeping.keep(LOG, note(1))
    os.close(handle)
    keeping.keep(LOG, note(1))
