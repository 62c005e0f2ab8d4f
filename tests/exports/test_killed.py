"""An exporter that is killed (kill -9) in the middle, and another that takes over."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.exports.conftest import TAKEOVER_S, Bureau, made
from tests.support.faults import holding
from tests.support.processes import eventually
from votepyramid.auditors.folder import SEAL, SUMS

pytestmark = pytest.mark.timeout(240)


def written(place: Path, below: str) -> dict[str, int]:
    """Each file's inode: one that is written again is another."""
    return {
        str(path.relative_to(place)): path.stat().st_ino
        for path in (place / below).rglob("*.gz")
    }


def finished_once(bureau: Bureau) -> None:
    done = bureau.finished(TAKEOVER_S)
    bureau.console.finished(bureau.workflow, TAKEOVER_S)
    assert [one.id for one in bureau.listed()] == [done.id]
    assert bureau.by("audit_exported") == ["ada"]
    bureau.verified(done)


def test_it_goes_on_in_the_same_folder(bureau: Bureau) -> None:
    """Killed while it waits for a history, when all others are written."""
    bureau.cast("v0", "v1", "v2")
    with bureau.election.sql() as db:
        db.execute(
            "INSERT INTO audit_events (election, kind, subject) "
            "VALUES (%s, 'token_issued', 'nobody')",
            (bureau.election.id,),
        )
    bureau.sequence()
    doomed = bureau.start_worker(export_wait=120)
    bureau.ask()
    bureau.comes_to("histories awaited")
    (asked,) = bureau.listed()
    place = bureau.place(asked)
    before = written(place, "histories")
    doomed.kill()
    assert len(before) >= 2 and not (place / SEAL).exists()
    bureau.start_worker()
    done = bureau.finished(TAKEOVER_S)
    assert done.id == asked.id
    assert made(done).wanting.lacking == 1
    # What was there is not fetched again.
    assert written(place, "histories") == before
    whole = ["sha256sum", "--check", "--quiet", SUMS]
    subprocess.run(whole, cwd=bureau.unpacked(done), check=True)


def test_after_it_was_sealed_and_before_it_was_noted(bureau: Bureau) -> None:
    bureau.cast("v0")
    bureau.sequence()
    doomed = bureau.start_worker()
    locked = "LOCK TABLE asked_exports IN SHARE ROW EXCLUSIVE MODE"
    bureau.ask()
    with holding(bureau.engine.database.owner_url, locked):
        (asked,) = bureau.listed()
        seal = bureau.place(asked) / SEAL
        assert eventually(seal.exists, 30), bureau.told()
        doomed.kill()
    assert not bureau.listed()[0].there
    bureau.start_worker()
    finished_once(bureau)


def test_told_to_stop_it_leaves_the_rest_to_another(bureau: Bureau) -> None:
    bureau.cast("v0")
    worker = bureau.start_worker(export_wait=120)
    bureau.ask()
    bureau.comes_to("log entries awaited")
    assert worker.terminate(15) == 0
    bureau.fails_with("it was stopped")
    bureau.sequence()
    bureau.start_worker()
    finished_once(bureau)
