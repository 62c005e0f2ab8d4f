"""The public log of receipts: what it holds, and that it is never another."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.receipts.conftest import Office
from tests.receipts.reading import Reader, cast
from tests.support.engines import Engine
from tests.support.processes import eventually
from tests.support.stacks import VOTEPYRAMID
from tests.support.tampering import tampering
from tests.support.voting import assert_problem
from votepyramid.elections.unlinking import unlink
from votepyramid.protocol import merkle
from votepyramid.protocol.checkpoint import open_checkpoint
from votepyramid.protocol.leaf import leaf_hash, parse_leaf
from votepyramid.protocol.tiles import Tile, TileReader, read_root
from votepyramid.protocol.tlogproof import TlogProof


def test_every_vote_is_in_the_log_and_proves_it(office: Office, reader: Reader) -> None:
    assert_problem(reader.get("log/checkpoint"), 404, "not_found")
    first = cast(reader, *range(5))
    proof = f"receipt/{first[0].receipt_hash}/proof"
    assert_problem(reader.get(proof), 404, "not_in_log")
    office.sequence()
    early = reader.checkpoint()
    second = cast(reader, *range(5, 12))
    office.sequence()
    late = reader.checkpoint()
    assert (early.size, late.size) == (5, 12)
    assert read_root(12, reader.tiles) == late.root
    consistency = merkle.consistency_proof(5, 12, TileReader(12, reader.tiles))
    merkle.verify_consistency(5, 12, consistency, early.root, late.root)
    for batch, begin in ((first, 0), (second, 5)):
        entries = reader.entries(begin, 12)[: len(batch)]
        assert {leaf_hash(one).hex() for one in entries} == {
            ballot.receipt_hash for ballot in batch
        }
        # The order in which they were cast shows nowhere.
        tags = [parse_leaf(entry).t for entry in entries]
        assert tags == sorted(tags)
    for ballot in (*first, *second):
        answer = reader.get(f"receipt/{ballot.receipt_hash}/proof")
        kept = TlogProof.parse(answer.content)
        at = open_checkpoint(kept.note, reader.key.name, reader.key)
        assert at == late
        wanted = bytes.fromhex(ballot.receipt_hash)
        merkle.verify_inclusion(wanted, kept.index, at.size, kept.hashes, at.root)


def test_caches_keep_what_never_changes(office: Office, reader: Reader) -> None:
    (ballot,) = cast(reader, 0)
    office.sequence()
    tile = reader.get(f"log/{Tile(0, 0, 1).path}")
    assert tile.headers["Content-Type"] == "application/octet-stream"
    assert "immutable" in tile.headers["Cache-Control"]
    for rest in ("log/checkpoint", f"receipt/{ballot.receipt_hash}/proof"):
        answer = reader.get(rest)
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Cache-Control"] == "public, max-age=2"
    for beyond in ("tile/0/000", "tile/0/000.p/2", "tile/1/000.p/1", "tile/0/000.p/01"):
        assert_problem(reader.get(f"log/{beyond}"), 404, "not_found")


def test_a_sequencer_that_runs_makes_votes_public_by_itself(
    office: Office, reader: Reader, tmp_path: Path
) -> None:
    one = office.start(tmp_path / "one.log")
    try:
        one.wait_for_log("sequencing")
        other = office.start(tmp_path / "other.log")
        assert "another sequencer" in office.log("sequence", "--once").stderr
        cast(reader, 0, 1)
        assert eventually(lambda: reader.get("log/checkpoint").status_code == 200)
        assert "sequencing" not in other.log_text()
        # kill -9: the other takes over, and the log goes on.
        one.kill()
        other.wait_for_log("sequencing")
        cast(reader, 2)
        assert eventually(lambda: reader.checkpoint().size == 3)
        assert other.terminate() == 0, other.log_text()
    finally:
        one.stop()


def test_an_election_older_than_the_log_is_passed_over(
    office: Office, reader: Reader, engine: Engine, tmp_path: Path
) -> None:
    old = Reader(engine.doors(engine.make_election(id="before-the-log", voters=1))[0])
    with psycopg.connect(office.owner_url) as db:
        db.execute(
            "DELETE FROM wrapped_keys "
            "WHERE election = 'before-the-log' AND purpose = 'receipt-log'"
        )
    cast(old, 0)
    sequencer = office.start(tmp_path / "one.log")
    try:
        sequencer.wait_for_log("no_log_key")
        cast(reader, 0)
        assert eventually(lambda: reader.get("log/checkpoint").status_code == 200)
        # Said once, not at every turn.
        assert sequencer.log_text().count("no_log_key") == 1
        assert_problem(old.get("log/checkpoint"), 404, "not_found")
    finally:
        sequencer.stop()
        with psycopg.connect(office.owner_url) as db:
            db.execute("DELETE FROM log_queue WHERE election = 'before-the-log'")


def test_a_log_that_was_set_back_is_not_continued(
    office: Office, reader: Reader
) -> None:
    cast(reader, 0, 1, 2)
    office.sequence()
    election = reader.door.election.id
    with tampering(office.owner_url) as db:
        for table in ("log_entries", "log_tiles", "log_heads"):
            db.execute(
                f"DELETE FROM {table} WHERE election = %s AND kind = 'receipts'",
                (election,),
            )
    try:
        cast(reader, 3)
        done = office.log("sequence", "--once")
        assert done.returncode == 3
        assert f"of {election} has 0 entries, and a checkpoint of 3" in done.stderr
    finally:
        office.forget(election)


ALTERED = {
    "tile": "UPDATE log_tiles SET hashes = '\\x00' || substr(hashes, 2)",
    "root": "UPDATE log_heads SET root = sha256('another')",
    "receipt": "UPDATE vote_submissions "
    """SET receipt = regexp_replace(receipt, '"t":"...', '"t":"AAA')""",
}


@pytest.mark.parametrize("what", ALTERED)
def test_a_log_that_was_altered(office: Office, engine: Engine, what: str) -> None:
    name = f"altered-{what}"
    reader = Reader(engine.doors(engine.make_election(id=name, voters=4))[0])
    cast(reader, 0, 1, 2)
    office.sequence()
    cast(reader, 3)
    with psycopg.connect(office.owner_url) as db:
        db.execute(f"{ALTERED[what]} WHERE election = '{name}'")
    try:
        done = office.log("sequence", "--once")
        assert done.returncode == 3 and "ALARM" in done.stderr, done.stderr
        assert reader.checkpoint().size == 3
    finally:
        office.forget(name)


FORBIDDEN = {
    "app adds": (
        "app",
        "INSERT INTO log_queue (election, kind, sort, subject) SELECT 'e', '', '', ''",
    ),
    "app enters": (
        "app",
        "INSERT INTO log_entries VALUES ('e', 'receipts', 0, 'x', 'y')",
    ),
    "app publishes": ("app", "UPDATE log_heads SET checkpoint = 'x'"),
    "app reads what waits": ("app", "SELECT * FROM log_queue"),
    "sequencer edits": ("sequencer", "UPDATE log_entries SET entry = 'x'"),
    "sequencer removes": ("sequencer", "DELETE FROM log_entries"),
    "sequencer removes tiles": ("sequencer", "DELETE FROM log_tiles"),
    "sequencer votes": ("sequencer", "UPDATE vote_submissions SET status = 'rejected'"),
    "sequencer reads ballots": (
        "sequencer",
        "SELECT ballot_snapshot FROM vote_submissions",
    ),
    "sequencer reads tokens": ("sequencer", "SELECT * FROM vote_tokens"),
}


def test_a_log_without_its_tiles_does_not_say_that_a_vote_is_still_to_come(
    office: Office, reader: Reader
) -> None:
    ballot, _ = cast(reader, 0, 1)
    office.sequence()
    election = reader.door.election.id
    with psycopg.connect(office.owner_url) as db:
        db.execute("DELETE FROM log_tiles WHERE election = %s", (election,))
    assert reader.get(f"receipt/{ballot.receipt_hash}/proof").status_code == 500
    office.forget(election)


@pytest.mark.parametrize("act", FORBIDDEN)
def test_what_the_roles_may_not_do(office: Office, act: str) -> None:
    who, statement = FORBIDDEN[act]
    database = office.engine.database
    url = database.app_url if who == "app" else database.sequencer_url
    with (
        psycopg.connect(url) as db,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        db.execute(statement)


def test_the_sequencer_sees_no_key_but_the_logs(office: Office, reader: Reader) -> None:
    with psycopg.connect(office.engine.database.sequencer_url) as db:
        purposes = {row[0] for row in db.execute("SELECT purpose FROM wrapped_keys")}
    assert purposes == {"receipt-log", "audit-log"}


def test_unlinking_puts_nothing_into_the_log_again(
    office: Office, engine: Engine
) -> None:
    election = engine.make_election(id="unlinked-log", voters=3, grace=0)
    reader = Reader(engine.doors(election)[0])
    cast(reader, 0, 1)
    office.sequence()
    before = reader.checkpoint()
    election.close()
    election.pass_grace()
    election.finish(office.sequence)
    unlink(election.engine, election.id, dispute_days=0, without_export=True)
    office.sequence()
    assert reader.checkpoint() == before
    found = {
        one["election"]: one
        for one in json.loads(office.log("status", "--json").stdout)
        if one["kind"] == "receipts"
    }
    assert found[election.id]["waiting"] == 0 and found[election.id]["size"] == 2


def test_an_operator_sees_where_the_logs_stand(office: Office, reader: Reader) -> None:
    cast(reader, 0)
    office.sequence()
    environment = {
        **office.engine.env,
        "VOTEPYRAMID_OWNER_DATABASE_URL": office.engine.database.owner_url,
    }
    command = [VOTEPYRAMID, "log", "status"]
    for env, status, said in (
        (environment, 0, f"{reader.door.election.id} receipts: 1 entries, 1 public"),
        # The application's role may not look: a sentence says so.
        (office.engine.env, 1, "permission denied"),
    ):
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == status, done.stderr
        assert said in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
