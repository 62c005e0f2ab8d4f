"""One log that cannot be continued is set aside; the logs of others go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from tests.receipts.conftest import Office
from tests.receipts.reading import Reader, cast
from tests.support.engines import Engine
from tests.support.processes import eventually
from tests.support.tampering import tampering
from tests.support.voting import assert_problem


@pytest.fixture
def other(
    office: Office, engine: Engine, request: pytest.FixtureRequest
) -> Iterator[Reader]:
    """Another election, whose log is about to be damaged; three entries are public."""
    name = f"other-{hashlib.sha256(request.node.name.encode()).hexdigest()[:8]}"
    reader = Reader(engine.doors(engine.make_election(id=name, voters=6))[0])
    cast(reader, 0, 1, 2)
    office.sequence()
    yield reader
    office.forget(name)


OURS = "kind = 'receipts' AND election = %(election)s"


def sql(office: Office, statement: str, reader: Reader) -> None:
    with tampering(office.owner_url) as db:
        db.execute(statement.encode(), {"election": reader.door.election.id})


def stopped(office: Office, reader: Reader) -> str | None:
    """What `log status` says of a log."""
    found = json.loads(office.log("status", "--json").stdout)
    named = {one["election"]: one for one in found if one["kind"] == "receipts"}
    reason: str | None = named[reader.door.election.id]["stopped"]
    return reason


def set_back(office: Office, reader: Reader) -> None:
    for table in ("log_entries", "log_tiles", "log_heads"):
        sql(office, f"DELETE FROM {table} WHERE {OURS}", reader)


def metric(folder: Path, name: str, election: str) -> float | None:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    labels = {"election": election, "kind": "receipts"}
    return registry.get_sample_value(name, labels)


def test_the_others_go_on(
    office: Office, reader: Reader, other: Reader, tmp_path: Path
) -> None:
    set_back(office, other)
    folder = tmp_path / "metrics"
    sequencer = office.start(tmp_path / "one.log", metrics_dir=folder)
    try:
        sequencer.wait_for_log("log_stopped")
        cast(other, 3)
        for size in (1, 2):
            cast(reader, size)
            assert eventually(lambda: reader.get("log/checkpoint").status_code == 200)
            assert eventually(lambda s=size: reader.checkpoint().size == s)
        name = "votepyramid_log_stopped"
        assert metric(folder, name, other.door.election.id) == 1
        assert metric(folder, "votepyramid_log_size_items", reader.door.election.id) > 0
        assert "was set back" in (stopped(office, other) or "")
        assert f"STOPPED: the receipts log of {other.door.election.id}" in (
            office.log("status").stdout
        )
        assert stopped(office, reader) is None
        # Said once of each of its logs, not at every turn; and it ends as one who needs
        # a person.
        assert sequencer.log_text().count("log_stopped") == 2
        assert sequencer.terminate() == 3
        assert f"ALARM: the receipts log of {other.door.election.id}" in (
            sequencer.log_text()
        )
    finally:
        sequencer.stop()
    assert_problem(other.get("log/checkpoint"), 404, "not_found")


def test_a_restored_log_goes_on(office: Office, other: Reader) -> None:
    """Found damaged, mended, and taken up again by the next sequencer."""
    cast(other, 3)
    flipped = f"UPDATE log_heads SET root = sha256(root) WHERE {OURS}"
    with psycopg.connect(office.owner_url) as db:
        row = db.execute(
            f"SELECT root FROM log_heads WHERE {OURS}",
            {"election": other.door.election.id},
        ).fetchone()
    assert row is not None
    sql(office, flipped, other)
    assert office.log("sequence", "--once").returncode == 3
    assert stopped(office, other) is not None
    with psycopg.connect(office.owner_url) as db:
        db.execute(
            f"UPDATE log_heads SET root = %(root)s WHERE {OURS}",
            {"root": row[0], "election": other.door.election.id},
        )
    office.sequence()
    assert other.checkpoint().size == 4
    assert stopped(office, other) is None


NO_KEY = """
DELETE FROM wrapped_keys
WHERE election = %(election)s AND purpose = 'receipt-log'
"""


def test_a_log_without_its_key(office: Office, other: Reader) -> None:
    """Destroyed when all was over: nothing to say. Set back as well: an alarm."""
    sql(office, NO_KEY, other)
    assert office.log("sequence", "--once").returncode == 0
    set_back(office, other)
    done = office.log("sequence", "--once")
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert "was set back" in done.stderr


@pytest.mark.parametrize("content", [b"", b"\xff\x00\x01", b"votes\n3\nAAAA\n\n"])
def test_a_kept_checkpoint_that_is_none(
    office: Office, other: Reader, content: bytes
) -> None:
    name = f"{other.door.election.id}.receipts.checkpoint"
    (office.folder / name).write_bytes(content)
    done = office.log("sequence", "--once")
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert "is not a checkpoint of it" in done.stderr


def test_an_entry_that_is_queued_again(office: Office, other: Reader) -> None:
    """The tables refuse it: no reason to stop the others, or to quote the row."""
    queued = """
    INSERT INTO log_queue (election, kind, sort, subject)
    SELECT election, 'receipts', tag, receipt_hash FROM vote_submissions
    WHERE election = %(election)s
    """
    sql(office, queued, other)
    done = office.log("sequence", "--once")
    assert done.returncode == 3 and "UniqueViolation" in done.stderr
    assert "Key (" not in done.stderr
    assert other.checkpoint().size == 3


def test_what_was_appended_and_not_published(office: Office, other: Reader) -> None:
    """As after kill -9 between the two; no other vote is needed to go on."""
    unpublished = "UPDATE log_heads SET checkpoint = NULL, checkpoint_size = 0"
    before = other.checkpoint()
    sql(office, f"{unpublished} WHERE {OURS}", other)
    office.sequence()
    assert other.checkpoint() == before


def test_a_folder_that_cannot_be_written(office: Office, reader: Reader) -> None:
    """Nothing is public that is not kept; it goes on when there is room."""
    cast(reader, 0)
    name = office.folder / f"{reader.door.election.id}.receipts.new"
    name.mkdir()
    done = office.log("sequence", "--once")
    assert done.returncode == 1 and "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert_problem(reader.get("log/checkpoint"), 404, "not_found")
    name.rmdir()
    office.sequence()
    assert reader.checkpoint().size == 1
