"""A ballot that the public log does not have: what its voter is told, and when.

Only the final log was promised. `votepyramid verify --online` says "not yet" and "late"
before there is a closing statement, and "broken" with one.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from tests.client.scripted import Handler, serving
from tests.receipts.ends import closed
from tests.receipts.test_voters_check import Voter, voter
from tests.support.sequencing import grow
from votepyramid.cli import main
from votepyramid.client import files, missing
from votepyramid.client.steps import Standing
from votepyramid.keys.service import STATEMENTS
from votepyramid.protocol import notes
from votepyramid.protocol.checkpoint import Checkpoint
from votepyramid.protocol.merkle import EMPTY_ROOT
from votepyramid.protocol.statements import ClosingStatement, TreeHead, sign_closing

__all__ = ["voter"]


def problem(voter: Voter, *more: str) -> str:
    _, report = voter.verify("--online", *more)
    told: str = report["failed"]["problem"]
    return told


def grow_without(voter: Voter, *entries: bytes) -> None:
    """The log goes on, and the ballot is not in it."""
    grow(voter.reader.door.election, voter.office.folder, entries)


def finish_without(voter: Voter) -> None:
    """An election that ends, by its tables, without three ballots that had receipts.

    As the owner of the database can make it: the engine itself refuses.
    """
    election = voter.reader.door.election
    voter.sql("DELETE FROM log_queue WHERE election = %(e)s")
    closed(election)
    with election.sql() as db:
        for table in ("vote_submissions", "vote_groups", "vote_tokens"):
            db.execute(f"DELETE FROM {table} WHERE election = %s", (election.id,))
    election.finish(voter.office.sequence)


def test_not_yet_says_when_to_ask_again(voter: Voter) -> None:
    told = problem(voter)
    assert "the log has 0 entries without it; ask again after 20" in told
    ended, report = voter.verify("--online")
    assert (ended, report["status"]) == (9, "not_yet")
    grow_without(voter, b"a", b"b")
    voter.check(9, "not_yet")
    assert "the log still has 2 entries" in problem(voter)
    grow_without(voter, b"c")
    assert "went on without it from 2 entries to 3" in problem(voter)
    done = CliRunner().invoke(main, ["verify", str(voter.receipt), "--online"])
    assert "WAIT    not_yet: " in done.output and "FAILED" not in done.output
    voter.office.sequence()
    voter.check(0, None)


def test_a_long_delay_is_late_and_no_broken_promise(voter: Voter) -> None:
    grow_without(voter, b"a")
    voter.check(9, "not_yet")
    long_ago = voter.receipt.stat().st_mtime - missing.LONG.total_seconds() - 60
    os.utime(voter.receipt, (long_ago, long_ago))
    voter.check(10, "late")
    told = problem(voter)
    assert "your receipt is there since" in told and "not finished before" in told
    ended, report = voter.verify("--online")
    assert (ended, report["status"]) == (10, "late")
    voter.office.sequence()
    voter.check(0, None)


def test_a_ballot_that_is_not_in_the_final_log(voter: Voter) -> None:
    finish_without(voter)
    voter.check(3, "promise")
    assert "proved to have no vote under your tag" in problem(voter)
    # What is kept holds for anybody, without the server.
    (_, report), manifest = voter.verify(), voter.receipt.with_name("manifest.json")
    assert report["status"] == "valid"
    manifest.write_bytes(voter.reader.get("manifest/").content)
    token = voter.receipt.with_name("token")
    token.write_text(str(files.load(voter.receipt).ballot.bearer))
    words = ["verify-absence", voter.beside(".absence"), "--token-file", token]
    words += ["--closing", voter.beside(".closing"), "--manifest", manifest]
    words += ["--manifest-hash", voter.reader.door.election.m.hex()]
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0 and "No vote stands under the tag" in done.output


def test_a_ballot_that_enters_before_the_end_is_no_broken_promise(voter: Voter) -> None:
    """The statement is there, and the first answer was older than it."""
    voter.office.sequence()
    closed(voter.reader.door.election)
    voter.reader.door.election.finish(voter.office.sequence)
    asked: list[str] = []

    def hurried(handler: Handler) -> None:
        rest = handler.path.removeprefix(voter.reader.door.path(""))
        asked.append(rest)
        if rest.endswith("/proof") and asked.count(rest) == 1:
            rest = f"receipt/{'0' * 64}/proof"
        answer = voter.reader.get(rest)
        kind = answer.headers["Content-Type"]
        handler.answer(answer.status_code, answer.content, Content_Type=kind)

    with serving(hurried) as server:
        voter.check(0, None, "--url", server.url)
    assert sum(rest.endswith("/proof") for rest in asked) == 2


def test_a_server_that_hides_what_it_has(voter: Voter) -> None:
    """Neither proof of presence nor of absence: yet the statement is signed."""
    voter.office.sequence()
    closed(voter.reader.door.election)
    voter.reader.door.election.finish(voter.office.sequence)

    def hiding(handler: Handler) -> None:
        rest = handler.path.removeprefix(voter.reader.door.path(""))
        if rest.endswith("/proof"):
            rest = f"receipt/{'0' * 64}/proof"
        answer = voter.reader.get(rest)
        kind = answer.headers["Content-Type"]
        handler.answer(answer.status_code, answer.content, Content_Type=kind)

    with serving(hiding) as server:
        voter.check(3, "promise", "--url", server.url)
        assert "gives no proof" in problem(voter, "--url", server.url)
    assert voter.beside(".closing").exists()
    assert not voter.beside(".absence").exists()


def test_another_closing_statement_does_not_replace_the_one_that_was_kept(
    voter: Voter,
) -> None:
    """Each is evidence against the other, and the first has its proof of absence."""
    finish_without(voter)
    voter.check(3, "promise")
    first = voter.beside(".closing").read_bytes()
    absence = voter.beside(".absence").read_bytes()
    election = voter.reader.door.election
    key = election.keys.signer(election.id, STATEMENTS)
    origin, head = election.manifest["receipts"]["origin"], TreeHead(0, EMPTY_ROOT)
    said = ClosingStatement(origin, election.m, 20, 5, 0, 0, head, head)
    other = sign_closing(said, key).encode()

    def lying(handler: Handler) -> None:
        rest = handler.path.removeprefix(voter.reader.door.path(""))
        answer = voter.reader.get(rest)
        lies = rest == "statement/closing"
        kind = answer.headers["Content-Type"]
        body = other if lies else answer.content
        handler.answer(answer.status_code, body, Content_Type=kind)

    with serving(lying) as server:
        voter.check(4, "growth", "--url", server.url)
        assert "another than the one kept" in problem(voter, "--url", server.url)
    assert voter.beside(".closing").read_bytes() == first != other
    assert voter.beside(".absence").read_bytes() == absence
    assert voter.beside(".closing-conflict").read_bytes() == other
    voter.check(3, "promise")


@pytest.mark.parametrize("audit", [404, 500, 200])
def test_an_audit_log_that_is_wrong_hides_no_broken_promise(
    voter: Voter, audit: int
) -> None:
    voter.office.sequence()
    voter.check(0, None)
    election = voter.reader.door.election
    closed(election)
    election.finish(voter.office.sequence)
    voter.beside(".tlog-proof").unlink()

    def hiding(handler: Handler) -> None:
        rest = handler.path.removeprefix(voter.reader.door.path(""))
        if rest == "audit-log/checkpoint" and audit != 404:
            handler.answer(audit, b"none", Content_Type="text/plain")
            return
        if rest.endswith("/proof") or rest == "audit-log/checkpoint":
            rest = f"receipt/{'0' * 64}/proof"
        answer = voter.reader.get(rest)
        kind = answer.headers["Content-Type"]
        handler.answer(answer.status_code, answer.content, Content_Type=kind)

    with serving(hiding) as server:
        voter.check(3, "promise", "--url", server.url, "--patience", "1")
    assert voter.beside(".closing").exists()


@pytest.mark.parametrize(
    ("key", "head", "status", "check"),
    [
        ("another", TreeHead(3, bytes(32)), 6, "closing"),
        ("its own", TreeHead(3, bytes(32)), 4, "growth"),
        ("its own", TreeHead(2, bytes(32)), 4, "growth"),
        ("its own", TreeHead(4, bytes(32)), 4, "growth"),
    ],
)
def test_a_closing_statement_that_is_not_of_this_log(
    voter: Voter, key: str, head: TreeHead, status: int, check: str
) -> None:
    """Shown with the log as it is: the two contradict each other."""
    election = voter.reader.door.election
    grow_without(voter, b"a", b"b", b"c")
    own = election.keys.signer(election.id, STATEMENTS)
    signer = own if key == "its own" else notes.generate(own.verifier.name)
    origin = election.manifest["receipts"]["origin"]
    n = head.size
    said = ClosingStatement(origin, election.m, n, n, n, n, head, head)
    note = sign_closing(said, signer)

    def lying(handler: Handler) -> None:
        rest = handler.path.removeprefix(voter.reader.door.path(""))
        answer = voter.reader.get(rest)
        kind = answer.headers["Content-Type"]
        if rest == "statement/closing":
            handler.answer(200, note.encode(), Content_Type="text/plain")
        else:
            handler.answer(answer.status_code, answer.content, Content_Type=kind)

    with serving(lying) as server:
        voter.check(status, check, "--url", server.url)
    # Its own is evidence, beside the checkpoint that it contradicts.
    assert voter.beside(".closing").exists() == (key == "its own")


def test_what_the_times_say(voter: Voter) -> None:
    """The signed end counts, unless the server says that it came earlier."""
    manifest = voter.reader.door.election.manifest
    closes = datetime.fromisoformat(manifest["closes"])
    end = closes + timedelta(seconds=manifest["grace_seconds"])
    looked = missing.Looked(
        manifest,
        Checkpoint("o", 3, bytes(32)),
        None,
        voter.receipt,
        lambda _check, _told: None,
    )

    def said(status: str, now: datetime, ends: datetime = closes) -> tuple[str, str]:
        cast_at = now - timedelta(minutes=1)
        return missing.judge(Standing(status, ends), looked, now, cast_at)

    assert said("closed", end + missing.LONG)[0] == "not_yet"
    late = end + missing.LONG + timedelta(seconds=1)
    assert said("open", late)[0] == "late"
    # A server cannot put the end off.
    assert said("open", late, closes + timedelta(days=9))[0] == "late"
    early = datetime.now(UTC)
    assert said("closed", early)[0] == "not_yet"
    assert said("closed", early, early - timedelta(days=1))[0] == "late"
    for status in ("finished", "unlinked"):
        check, told = said(status, early)
        assert check == "late" and "nor a signed closing statement" in told
