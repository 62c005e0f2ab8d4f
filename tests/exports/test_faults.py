"""What an export needs is away: it says so in words, and goes on when it is back."""

from __future__ import annotations

import resource
from pathlib import Path

import psutil
import pytest

from tests.exports.conftest import Bureau
from tests.support.faults import Wire
from tests.support.processes import eventually
from votepyramid.auditors.exports_folder import ExportsFolder
from votepyramid.auditors.folder import FolderError
from votepyramid.keys.local import LocalKeyFile

pytestmark = pytest.mark.timeout(240)


def test_the_folder_is_missing_and_then_there(bureau: Bureau) -> None:
    bureau.exports.rmdir()
    bureau.start_worker()
    bureau.ask()
    bureau.fails_with("the folder of exports cannot be used")
    bureau.fails_with(f"{bureau.exports}: No such file or directory")
    # Unwritable, for root too: what is to be its folder is a file.
    bureau.exports.mkdir(mode=0o700)
    (asked,) = bureau.listed()
    bureau.place(asked).write_text("in the way")
    bureau.fails_with("Not a directory")
    bureau.place(asked).unlink()
    bureau.verified(bureau.finished())


@pytest.mark.parametrize("mode", [0o701, 0o705, 0o770, 0o755])
def test_a_folder_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(FolderError, match="open to others: chmod 700 it"):
        ExportsFolder(str(folder)).check()
    for closed in (0o700, 0o750, 0o2750):
        folder.chmod(closed)
        ExportsFolder(str(folder)).check()
    with pytest.raises(FolderError, match="is not a folder"):
        ExportsFolder("/dev/null").check()


def test_the_disk_is_full_and_then_not(bureau: Bureau) -> None:
    """No file may have a byte: what a full disk says is another number."""
    worker = bureau.start_worker()
    process = psutil.Process(worker.pid)
    before = process.rlimit(resource.RLIMIT_FSIZE)
    process.rlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    bureau.ask()
    bureau.fails_with("File too large")
    process.rlimit(resource.RLIMIT_FSIZE, before)
    bureau.verified(bureau.finished())


def test_it_needs_attention_until_it_is_done(bureau: Bureau) -> None:
    bureau.exports.chmod(0o701)
    bureau.start_worker()
    bureau.ask_only()
    bureau.start(tries=2)
    assert eventually(lambda: bool(bureau.console.attention(bureau.workflow)), 20)
    assert bureau.told().needs_attention
    stuck = [bureau.workflow]
    assert eventually(lambda: bureau.console.needing_attention("EXPORTING") == stuck)
    bureau.exports.chmod(0o700)
    bureau.finished()
    bureau.console.finished(bureau.workflow)
    assert bureau.console.attention(bureau.workflow) is False


def test_an_attempt_that_is_given_up_on_is_not_joined_by_a_second(
    bureau: Bureau,
) -> None:
    """Two who write one folder could seal what the other changes."""
    bureau.cast("v0")
    wire = Wire(bureau.engine.temporal.address)
    bureau.start_worker(temporal_address=wire.address, export_wait=120)
    bureau.ask()
    bureau.comes_to("log entries awaited")
    # It goes on by itself, and Temporal hears of it no more.
    wire.cut()
    bureau.start_worker()
    bureau.fails_with("another attempt is still at this export", 60)
    bureau.sequence()
    bureau.verified(bureau.finished(60))
    assert bureau.by("audit_exported") == ["ada"]


def test_the_key_provider_refuses_and_then_not(bureau: Bureau, tmp_path: Path) -> None:
    other = tmp_path / "other-kek.json"
    LocalKeyFile.create(other)
    worker = bureau.start_worker(kek_file=other)
    bureau.ask()
    bureau.fails_with("the key provider refused or did not answer")
    worker.terminate()
    bureau.start_worker()
    bureau.verified(bureau.finished())


def test_postgres_refuses_and_then_not(bureau: Bureau) -> None:
    bureau.start_worker()
    role = "votepyramid_exporter"
    with bureau.election.sql() as db:
        db.execute(f"REVOKE SELECT ON archived_histories FROM {role}".encode())
        bureau.ask()
        bureau.fails_with("the database refused or did not answer: Insufficient")
        db.execute(f"GRANT SELECT ON archived_histories TO {role}".encode())
    bureau.verified(bureau.finished())


def test_temporal_is_away_and_then_not(bureau: Bureau) -> None:
    bureau.cast("v0")
    wire = Wire(bureau.engine.temporal.address)
    bureau.start_worker(temporal_address=wire.address, export_wait=60)
    bureau.ask()
    bureau.comes_to("log entries awaited")
    wire.freeze()
    bureau.sequence()
    # Nobody hears of it: it is missed, and a second attempt finds the first one's lock.
    (asked,) = bureau.listed()
    assert eventually((bureau.place(asked) / "receipts").is_dir, 20)
    assert eventually(lambda: "did not answer" in str(bureau.told()), 40)
    wire.thaw()
    bureau.verified(bureau.finished(60))
