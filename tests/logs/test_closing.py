"""An election is finished over a log that a sequencer has compared, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.logs.desk import Desk
from tests.receipts.ends import closed, opened
from votepyramid.elections.finishing import NotYet
from votepyramid.keys.service import RECEIPT_LOG
from votepyramid.logs.store import AUDIT, RECEIPTS
from votepyramid.protocol.checkpoint import Checkpoint, sign_checkpoint

ASKED = "SELECT count(*) FROM audit_events WHERE election = %s AND kind = %s"


def asked(desk: Desk) -> int:
    return int(desk.election.count(ASKED, desk.election.id, "votes_complete"))


def test_it_is_asked_once_and_then_signed(desk: Desk) -> None:
    desk.booth.cast("v0", "v1")
    assert desk.sequence() == {}
    closed(desk.election)
    for _ in range(2):
        with pytest.raises(NotYet, match="no sequencer has confirmed"):
            desk.election.finish()
    assert asked(desk) == 1
    assert desk.sequence() == {}
    said = opened(desk.election, desk.election.finish())
    assert (said.log.size, said.log.root) == (2, desk.public().root)


def test_nor_is_it_signed_while_the_audit_log_is_not_public(desk: Desk) -> None:
    """Appended by a sequencer that came no further: nobody has cosigned it yet."""
    closed(desk.election)
    with pytest.raises(NotYet):
        desk.election.finish()
    assert desk.sequence() == {}
    behind = "UPDATE log_heads SET checkpoint_size = checkpoint_size + {} WHERE {}"
    ours = "kind = 'audit' AND election = %s"
    with desk.election.sql() as db:
        db.execute(behind.format(-1, ours).encode(), (desk.election.id,))
        with pytest.raises(NotYet, match="no sequencer has confirmed"):
            desk.election.finish()
    assert desk.sequence() == {}
    desk.election.finish()
    assert asked(desk) == 1


def test_not_when_votes_of_the_grace_time_are_gone(desk: Desk, tmp_path: Path) -> None:
    """The backup was made after the close, and its audit log is not behind."""
    desk.booth.cast("v0", "v1", "v2")
    closed(desk.election)
    assert desk.sequence() == {}
    before = desk.file().read_text()
    key = desk.election.keys.signer(desk.election.id, RECEIPT_LOG)
    lost = Checkpoint(key.verifier.name, 5, bytes(32))
    desk.file().write_text(sign_checkpoint(lost, key))
    for _ in range(2):
        with pytest.raises(NotYet, match="no sequencer has confirmed"):
            desk.election.finish()
        said = desk.sequence()
        assert "was set back" in said[RECEIPTS]
        assert "waits for the other" in said[AUDIT]
    # By who found out that the file was not what was signed.
    desk.file().unlink()
    adopted = tmp_path / "adopted"
    adopted.write_text(before)
    assert desk.adopt(RECEIPTS, adopted)[0] == 0
    assert desk.sequence() == {}
    assert opened(desk.election, desk.election.finish()).log.size == 3
    assert asked(desk) == 1
