"""A folder of checkpoints that was lost, or is another host's, stops its logs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.logs.desk import Desk, open_desk
from tests.support.databases import Database
from tests.support.tampering import tampering
from votepyramid.keys.service import RECEIPT_LOG
from votepyramid.logs.store import AUDIT, RECEIPTS
from votepyramid.protocol import notes
from votepyramid.protocol.checkpoint import Checkpoint, sign_checkpoint

NONE_KEPT = "has a public checkpoint of {}, and none was kept"


def set_back(desk: Desk, *kinds: str) -> None:
    """To before the first entry of these logs."""
    with tampering(desk.database.owner_url) as db:
        for table in ("log_entries", "log_tiles", "log_heads"):
            db.execute(f"DELETE FROM {table} WHERE kind = ANY(%s)", ([*kinds],))


def saved(desk: Desk, name: str, kind: str = RECEIPTS) -> Path:
    """What is public now, as somebody outside keeps it."""
    path = desk.folder.parent / name
    path.write_text(desk.note(kind))
    return path


def test_a_log_that_is_public_and_not_kept_is_not_continued(desk: Desk) -> None:
    desk.booth.cast("v0", "v1")
    # The first start, where nothing is kept nor public, goes on by itself.
    desk.sequence()
    before = desk.public()
    shutil.rmtree(desk.folder)
    desk.booth.cast("v2")
    said = desk.sequence()
    assert NONE_KEPT.format(2) in said[RECEIPTS]
    assert desk.public() == before and desk.size() == 2
    for kind in (RECEIPTS, AUDIT):
        assert "the folder of checkpoints was lost" in (desk.stopped(kind) or "")


def test_one_that_runs_says_so_at_once(desk: Desk, tmp_path: Path) -> None:
    """Before anything waits for the log."""
    desk.booth.cast("v0")
    desk.sequence()
    desk.lose()
    sequencer = desk.start(tmp_path / "one.log")
    try:
        sequencer.wait_for_log("log_stopped")
        assert sequencer.terminate() == 3
    finally:
        sequencer.stop()
    lines = [json.loads(line) for line in sequencer.log_text().splitlines()[:-2]]
    stopped = [line for line in lines if line["event"] == "log_stopped"]
    assert {line["kind"] for line in stopped} == {RECEIPTS, AUDIT}


def test_a_folder_that_is_emptied_under_a_sequencer(desk: Desk, tmp_path: Path) -> None:
    desk.booth.cast("v0")
    desk.sequence()
    sequencer = desk.start(tmp_path / "one.log")
    try:
        sequencer.wait_for_log('"sequencing"')
        desk.lose()
        desk.booth.cast("v1")
        sequencer.wait_for_log("log_stopped")
        assert sequencer.terminate() == 3
    finally:
        sequencer.stop()
    assert desk.size() == 1


def test_a_log_that_was_set_back_to_before_its_first_checkpoint(desk: Desk) -> None:
    """The database knows nothing of it; its other log tells that the folder is new."""
    desk.sequence()
    desk.booth.cast("v0")
    desk.sequence()
    desk.lose()
    set_back(desk, RECEIPTS)
    desk.booth.cast("v1")
    said = desk.sequence()[RECEIPTS]
    assert "nothing was kept of the receipts log of demo, nor of the audit log" in said
    assert desk.size() == 0


def test_a_log_that_begins_beside_one_that_is_kept(desk: Desk) -> None:
    desk.sequence()
    assert desk.kept(AUDIT).size > 0 and not desk.file(RECEIPTS).exists()
    receipts = desk.booth.cast("v0")
    desk.sequence()
    desk.whole(*receipts)


def test_two_hosts_with_a_folder_each(desk: Desk, tmp_path: Path) -> None:
    """The trap: who takes over has nothing, or what it kept in its last turn."""
    other = desk.elsewhere(tmp_path / "other")
    receipts = desk.booth.cast("v0")
    desk.sequence()
    receipts += desk.booth.cast("v1")
    assert NONE_KEPT.format(1) in other.sequence()[RECEIPTS]
    for kind in (RECEIPTS, AUDIT):
        assert other.adopt(kind, desk.file(kind))[0] == 0
    assert other.sequence() == {}
    other.whole(*receipts)
    receipts += desk.booth.cast("v2")
    said = desk.sequence()[RECEIPTS]
    assert "a public checkpoint of 2, and the newest that was kept is of 1" in said
    assert other.sequence() == {}
    for kind in (RECEIPTS, AUDIT):
        assert desk.adopt(kind, other.file(kind))[0] == 0
    receipts += desk.booth.cast("v3")
    assert desk.sequence() == {}
    desk.whole(*receipts)


def adoptions(desk: Desk) -> list[tuple[str, int]]:
    """Log and size, as the audit log has them."""
    query = "SELECT detail FROM audit_events WHERE kind = 'checkpoint_adopted'"
    with desk.election.sql() as db:
        details = [row[0] for row in db.execute(f"{query} ORDER BY id")]
    assert all(one["by"] for one in details)
    return [(one["log"], one["size"]) for one in details]


def test_a_checkpoint_from_outside_is_adopted(desk: Desk) -> None:
    receipts = desk.booth.cast("v0", "v1")
    desk.sequence()
    early = saved(desk, "early")
    receipts += desk.booth.cast("v2")
    desk.sequence()
    files = [early, saved(desk, "late")]
    audited = saved(desk, "audited", AUDIT)
    before = desk.public()
    desk.lose()
    receipts += desk.booth.cast("v3")
    assert {*desk.sequence()} == {RECEIPTS, AUDIT}
    status, said = desk.adopt(RECEIPTS, *files)
    assert (status, "goes on from 3 entries" in said) == (0, True), said
    # The other log waits for one of its own.
    assert {*desk.sequence()} == {AUDIT}
    desk.whole(*receipts, earlier=before)
    assert desk.adopt(AUDIT, audited)[0] == 0
    assert desk.sequence() == {}
    assert desk.stopped() is None and desk.stopped(AUDIT) is None
    assert adoptions(desk) == [
        (RECEIPTS, 3),
        (AUDIT, desk.opened(audited.read_text(), AUDIT).size),
    ]


def signed(desk: Desk, size: int, root: bytes) -> bytes:
    key = desk.election.keys.signer(desk.election.id, RECEIPT_LOG)
    return sign_checkpoint(Checkpoint(key.verifier.name, size, root), key).encode()


def by_a_stranger(desk: Desk) -> bytes:
    said = desk.public()
    return sign_checkpoint(said, notes.generate(said.origin)).encode()


REFUSED: dict[str, tuple[Callable[[Desk], bytes], str]] = {
    "a stranger's": (by_a_stranger, "is no checkpoint of this log"),
    "the other log's": (
        lambda desk: desk.note(AUDIT).encode(),
        "is no checkpoint of this log",
    ),
    "no text": (lambda _: b"\xff\xfe", "is not UTF-8"),
    "too long": (lambda _: b"x" * 70_000, "over 65536 characters"),
    "of more than there is": (
        lambda desk: signed(desk, 5, bytes(32)),
        "has 3 entries, and a checkpoint of 5 was signed: the database was set back",
    ),
    "of another history": (
        lambda desk: signed(desk, 3, bytes(32)),
        "the first 3 entries of the receipts log of demo are not those",
    ),
    "older than what is public": (
        lambda desk: (desk.folder.parent / "early").read_bytes(),
        "one of 3 is public: give that one",
    ),
}


@pytest.fixture(scope="module")
def bereft(
    module_database: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """A desk that lost what it kept of a log; others have "early" and "right"."""
    desk = open_desk(module_database, tmp_path_factory.mktemp("bereft"))
    desk.booth.cast("v0", "v1")
    desk.sequence()
    saved(desk, "early")
    desk.booth.cast("v2")
    desk.sequence()
    saved(desk, "right")
    desk.lose(RECEIPTS)
    yield desk
    desk.election.engine.dispose()


@pytest.mark.parametrize("what", REFUSED)
def test_a_checkpoint_that_is_not_adopted(
    bereft: Desk, what: str, tmp_path: Path
) -> None:
    make, told = REFUSED[what]
    wrong, right = tmp_path / "wrong", bereft.folder.parent / "right"
    wrong.write_bytes(make(bereft))
    status, said = bereft.adopt(RECEIPTS, wrong)
    assert (status, told in said) == (1, True), said
    # One that is right makes up for one that is old, and for nothing else.
    if what != "older than what is public":
        status, said = bereft.adopt(RECEIPTS, right, wrong)
        assert (status, told in said) == (1, True), said
    assert not bereft.file().exists() and adoptions(bereft) == []


def test_nothing_is_adopted_over_what_is_kept(desk: Desk, tmp_path: Path) -> None:
    desk.booth.cast("v0")
    desk.sequence()
    old = saved(desk, "old")
    desk.booth.cast("v1")
    desk.sequence()
    with desk.election.sql() as db:
        db.execute("UPDATE log_heads SET checkpoint_size = 1 WHERE kind = 'receipts'")
    status, said = desk.adopt(RECEIPTS, old)
    assert (status, "has a checkpoint of 2" in said) == (1, True), said
    assert adoptions(desk) == []
    status, said = desk.adopt(AUDIT, tmp_path / "nothing")
    assert status == 2


def test_an_election_that_is_not_there(bereft: Desk) -> None:
    path = str(bereft.folder.parent / "right")
    status, said = bereft.command("adopt", "nobodys", RECEIPTS, path)
    assert (status, "election_unknown" in said) == (1, True), said
