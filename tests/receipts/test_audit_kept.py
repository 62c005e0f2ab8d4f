"""Voters who keep the audit log's checkpoint: all that they see of that log."""

from __future__ import annotations

import pytest

from tests.client.scripted import Handler, serving
from tests.receipts.reading import cast
from tests.receipts.test_voters_check import Voter, voter
from votepyramid.client import auditlog
from votepyramid.keys.service import AUDIT_LOG
from votepyramid.protocol import notes
from votepyramid.protocol.checkpoint import Checkpoint, read_unverified, sign_checkpoint

__all__ = ["voter"]


def checkpoint(voter: Voter) -> str:
    return voter.reader.get("audit-log/checkpoint").text


def show(voter: Voter, note: str) -> None:
    """Have the server show this, as who writes its tables can."""
    voter.sql(
        "UPDATE log_heads SET checkpoint = %(n)s "
        "WHERE kind = 'audit' AND election = %(e)s",
        n=note,
    )


def signed(voter: Voter, size: int, root: bytes) -> str:
    election = voter.reader.door.election
    key = election.keys.signer(election.id, AUDIT_LOG)
    return sign_checkpoint(Checkpoint(key.verifier.name, size, root), key)


def kept(voter: Voter) -> str:
    return voter.beside(".audit-checkpoint").read_text()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditlog, "_CACHED_S", 0.01)


def test_the_newest_checkpoint_is_kept(voter: Voter) -> None:
    # Also where the ballot is not in the log yet.
    voter.check(9, "not_yet")
    assert not voter.beside(".audit-checkpoint").exists()
    voter.office.sequence()
    voter.check(0, None)
    first = kept(voter)
    assert first == checkpoint(voter)
    cast(voter.reader, 3)
    voter.office.sequence()
    ended, report = voter.verify("--online")
    assert ended == 0 and "audit_log" in report["passed"]
    assert kept(voter) == checkpoint(voter) != first
    assert not voter.beside(".audit-conflict").exists()


def test_an_audit_log_that_was_set_back(voter: Voter, hurried: None) -> None:
    voter.office.sequence()
    old = checkpoint(voter)
    cast(voter.reader, 3)
    voter.office.sequence()
    voter.check(0, None)
    newest = kept(voter)
    show(voter, old)
    voter.check(5, "audit_rollback")
    assert voter.beside(".audit-conflict").read_text() == old
    voter.sql("DELETE FROM log_heads WHERE kind = 'audit' AND election = %(e)s")
    voter.check(5, "audit_rollback")
    assert kept(voter) == newest


def test_an_audit_log_that_was_forked(voter: Voter) -> None:
    voter.office.sequence()
    voter.check(0, None)
    first = kept(voter)
    show(voter, signed(voter, read_unverified(first).size, bytes(32)))
    voter.check(4, "audit_growth")
    # Two signatures over one size: nobody can talk that away.
    conflict = voter.beside(".audit-conflict").read_text()
    election = voter.reader.door.election
    key = election.keys.signer(election.id, AUDIT_LOG).verifier
    said = [read_unverified(note) for note in (kept(voter), conflict)]
    assert all(notes.open(note, key).text for note in (kept(voter), conflict))
    assert kept(voter) == first and said[0].size == said[1].size
    assert said[0].root != said[1].root


def test_a_checkpoint_of_somebody_elses_audit_log(voter: Voter) -> None:
    voter.office.sequence()
    said = read_unverified(checkpoint(voter))
    show(voter, sign_checkpoint(said, notes.generate(said.origin)))
    voter.check(6, "audit_signature")
    assert not voter.beside(".audit-checkpoint").exists()
    voter.beside(".audit-checkpoint").write_text("something else")
    voter.check(1, "seen")


def test_a_cache_that_lags_is_asked_again(voter: Voter, hurried: None) -> None:
    voter.office.sequence()
    old = checkpoint(voter)
    cast(voter.reader, 3)
    voter.office.sequence()
    voter.check(0, None)
    asked: list[str] = []

    def cached(handler: Handler) -> None:
        rest = handler.path.removeprefix(voter.reader.door.path(""))
        answer = voter.reader.get(rest)
        asked.append(rest)
        lags = asked.count("audit-log/checkpoint") == 1 and rest.startswith("audit")
        body = old.encode() if lags else answer.content
        kind = answer.headers["Content-Type"]
        handler.answer(answer.status_code, body, Content_Type=kind)

    with serving(cached) as cache:
        voter.check(0, None, "--url", cache.url)
    assert asked.count("audit-log/checkpoint") == 2
    assert not voter.beside(".audit-conflict").exists()
