"""What a voter who kept only the receipt finds out: `votepyramid verify --online`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from tests.client.scripted import Handler, serving
from tests.receipts.conftest import Office
from tests.receipts.reading import Reader, cast
from tests.support.sequencing import grow
from tests.support.voting import Ballot
from tests.support.witness import policy, witnessing
from votepyramid.cli import main
from votepyramid.client import files
from votepyramid.client.ballots import SealedBallot
from votepyramid.client.files import BallotFile
from votepyramid.protocol import notes
from votepyramid.protocol.checkpoint import sign_checkpoint
from votepyramid.protocol.tlogproof import TlogProof
from votepyramid.stack.ports import LOOPBACK, free_port


@dataclass(frozen=True)
class Voter:
    """The file that `votepyramid vote` left, and what stands beside it."""

    office: Office
    reader: Reader
    receipt: Path

    def verify(self, *more: str | Path) -> tuple[int, dict[str, Any]]:
        """The exit status, and the report."""
        words = ["verify", str(self.receipt), "--json", *map(str, more)]
        done = CliRunner().invoke(main, words)
        return done.exit_code, json.loads(done.stdout)

    def check(self, status: int, check: str | None, *more: str | Path) -> None:
        ended, report = self.verify("--online", *more)
        failed = report["failed"] and report["failed"]["check"]
        assert (ended, failed) == (status, check), report
        assert report["in_log"] == (status == 0)

    def beside(self, end: str) -> Path:
        return self.receipt.with_name(self.receipt.name + end)

    def sql(self, statement: str, **values: Any) -> None:
        election = self.reader.door.election.id
        with psycopg.connect(self.office.owner_url) as db:
            db.execute(statement.encode(), {"e": election, **values})


def keep(reader: Reader, ballot: Ballot, path: Path, answer: bytes | None) -> None:
    """Write the voter's file, with the ballot box's answer if there is one."""
    door = reader.door
    held = SealedBallot.of(door.election.id, ballot.bearer, ballot.sealed)
    files.create(path, BallotFile(door.url, held, door.election.signed, answer))


@pytest.fixture
def voter(office: Office, reader: Reader, tmp_path: Path) -> Iterator[Voter]:
    (ballot, *_) = cast(reader, 0, 1, 2)
    answer = reader.get(f"receipt/{ballot.receipt_hash}/").content
    keep(reader, ballot, tmp_path / "receipt.json", answer)
    yield Voter(office, reader, tmp_path / "receipt.json")
    office.forget(reader.door.election.id)


def test_a_vote_in_the_log_and_a_log_that_grows(voter: Voter) -> None:
    voter.check(9, "not_yet")
    assert not voter.beside(".tlog-proof").exists()
    voter.office.sequence()
    voter.check(0, None)
    first = voter.beside(".checkpoint").read_text()
    cast(voter.reader, 3, 4)
    voter.office.sequence()
    ended, report = voter.verify("--online")
    assert ended == 0 and "growth" in report["passed"]
    assert voter.beside(".checkpoint").read_text() != first
    # The saved proof holds without any server.
    saved = voter.beside(".tlog-proof")
    ended, report = voter.verify("--proof", saved)
    assert ended == 0 and report["passed"][-2:] == ["log_signature", "included"]
    assert not voter.beside(".conflict").exists()


def test_a_log_that_was_set_back(voter: Voter) -> None:
    voter.office.sequence()
    voter.check(0, None)
    voter.office.forget(voter.reader.door.election.id)
    # Nothing at all, less than before, and less than before without the vote.
    voter.check(5, "rollback")
    grow(voter.reader.door.election, voter.office.folder, [b"other"])
    voter.check(5, "rollback")
    assert "votepyramid" in voter.beside(".conflict").read_text()


def test_a_log_that_was_forked(voter: Voter) -> None:
    """The same size with other entries, and a larger one."""
    voter.office.sequence()
    voter.check(0, None)
    kept = voter.beside(".checkpoint").read_text()
    election = voter.reader.door.election
    for entries in ([b"a", b"b", b"c"], [b"d", b"e"]):
        if len(entries) == 3:
            voter.office.forget(election.id)
        grow(election, voter.office.folder, entries)
        voter.check(4, "growth")
    # What was seen first stays, with the other one beside it: two signatures.
    assert voter.beside(".checkpoint").read_text() == kept
    for end in (".checkpoint", ".conflict"):
        note = voter.beside(end).read_text()
        assert notes.open(note, voter.reader.key).text


def test_a_vote_that_was_left_out(voter: Voter) -> None:
    """The log goes on without it, and then denies that it was ever there."""
    election = voter.reader.door.election
    grow(election, voter.office.folder, [b"a", b"b", b"c", b"d"])
    voter.check(9, "not_yet")
    voter.beside(".tlog-proof").write_text("as if it had been there")
    ended, report = voter.verify("--online")
    assert ended == 3 and "when you checked before" in report["failed"]["problem"]


def test_a_checkpoint_of_somebody_else(voter: Voter) -> None:
    voter.office.sequence()
    stranger = notes.generate(voter.reader.key.name)
    note = sign_checkpoint(voter.reader.checkpoint(), stranger)
    voter.sql(
        "UPDATE log_heads SET checkpoint = %(n)s "
        "WHERE kind = 'receipts' AND election = %(e)s",
        n=note,
    )
    voter.check(6, "log_signature")
    assert not voter.beside(".checkpoint").exists()


def test_a_proof_of_something_else(voter: Voter) -> None:
    voter.office.sequence()
    voter.check(0, None)
    saved = voter.beside(".tlog-proof")
    proof = TlogProof.parse(saved.read_bytes())
    moved = TlogProof((proof.index + 1) % 3, proof.hashes, proof.note)
    saved.write_bytes(moved.data())
    ended, report = voter.verify("--proof", saved)
    assert (ended, report["failed"]["check"]) == (3, "included")
    saved.write_bytes(b"c2sp.org/tlog-proof@v1\n")
    ended, report = voter.verify("--proof", saved)
    assert (ended, report["failed"]["check"]) == (1, "proof")
    assert voter.verify("--proof", "missing")[0] == 1


def test_witnesses_of_the_voters_own_choice(voter: Voter, tmp_path: Path) -> None:
    with witnessing(tmp_path, "w1", "w2") as witnesses:
        for one in witnesses:
            one.find = voter.office.log_key
        rules = policy(tmp_path, 2, witnesses)
        voter.office.sequence()
        voter.check(7, "witnesses", "--policy", rules)
        voter.check(0, None)
        cast(voter.reader, 3)
        settings = {"witness_policy": rules}
        done = voter.office.log("sequence", "--once", **settings)
        assert done.returncode == 0, done.stderr
    voter.check(0, None, "--policy", rules)
    saved = voter.beside(".tlog-proof")
    ended, report = voter.verify("--proof", saved, "--policy", rules)
    assert ended == 0 and "witnesses" in report["passed"]
    (tmp_path / "no-policy").write_text("quorum nobody\n")
    assert voter.verify("--online", "--policy", tmp_path / "no-policy")[0] == 1


def test_a_server_that_cannot_be_asked(voter: Voter) -> None:
    address = f"http://{LOOPBACK}:{free_port()}"
    ended, report = voter.verify("--url", address, "--patience", "1")
    assert ended == 8 and "Nothing was found to be wrong" in report["advice"]


def test_a_cache_that_lags(voter: Voter) -> None:
    """An older checkpoint is no log set back while the rest can still be proved."""
    voter.office.sequence()
    name = files.load(voter.receipt).ballot.receipt_hash
    early = voter.reader.get(f"receipt/{name}/proof").content
    cast(voter.reader, 3)
    voter.office.sequence()
    voter.check(0, None)
    kept = voter.beside(".checkpoint").read_text()

    def cached(handler: Handler) -> None:
        rest = handler.path.removeprefix(voter.reader.door.path(""))
        if rest.endswith("/proof"):
            handler.answer(200, early)
            return
        answer = voter.reader.get(rest)
        kind = answer.headers["Content-Type"]
        handler.answer(answer.status_code, answer.content, Content_Type=kind)

    with serving(cached) as cache:
        ended, report = voter.verify("--url", cache.url)
    assert ended == 0 and "growth" in report["passed"]
    assert voter.beside(".checkpoint").read_text() == kept
