"""The audit log: every event is an entry, none is public, and none ever changes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.elections.drafts import AUTHORITY, draft
from tests.receipts.conftest import Office
from tests.support.elections import Listed, MadeElection
from tests.support.engines import Engine
from tests.support.tampering import APPEND_ONLY, tampering
from tests.support.voting import Door, assert_problem
from votepyramid.audit.kind import Cause
from votepyramid.audit.kinds import KINDS
from votepyramid.elections import ceremony
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.auditevent import parse_entry
from votepyramid.protocol.checkpoint import Checkpoint, open_checkpoint
from votepyramid.protocol.leaf import leaf_hash
from votepyramid.protocol.manifest import sign_manifest
from votepyramid.protocol.merkle import CompactRange

_ENTRIES = (
    "SELECT entry FROM log_entries WHERE election = %s AND kind = 'audit' "
    "ORDER BY index"
)


def entries(election: MadeElection) -> list[bytes]:
    """What the audit log holds, in its order."""
    with election.sql() as db:
        return [row[0] for row in db.execute(_ENTRIES, (election.id,))]


def checkpoint(door: Door) -> Checkpoint:
    answer = door.http.get(door.path("audit-log/checkpoint"))
    assert answer.status_code == 200, answer.text
    key = manifests.signer(door.election.manifest, "audit_log")
    return open_checkpoint(answer.text, key.name, key)


def root(election: MadeElection) -> Checkpoint:
    """What a checkpoint of these entries says."""
    tree = CompactRange()
    tree.extend([leaf_hash(entry) for entry in entries(election)])
    key = manifests.signer(election.manifest, "audit_log")
    return Checkpoint(key.name, len(entries(election)), tree.root())


def vote(door: Door) -> None:
    """Claims and casts of every kind that leaves an event."""
    ballot = door.ballot("v0")
    assert door.cast(ballot, style="south").status_code == 422
    assert door.cast(ballot).status_code == 200
    for _ in range(2):
        again = door.seal(ballot.bearer)
        assert_problem(door.cast(again), 409, "token_used")
    assert_problem(door.claim("banned"), 403, "not_eligible")
    assert_problem(door.claim("nobody"), 403, "not_eligible")


@pytest.fixture
def voted(engine: Engine, request: pytest.FixtureRequest) -> MadeElection:
    name = re.sub("[^a-z]+", "-", request.node.name)[-60:]
    election = engine.make_election(
        id=name, voters=[Listed("v0"), Listed("banned", suspended=True)]
    )
    vote(engine.doors(election)[0])
    return election


def test_every_event_is_an_entry(
    office: Office, engine: Engine, voted: MadeElection
) -> None:
    door = engine.doors(voted)[0]
    assert_problem(door.http.get(door.path("audit-log/checkpoint")), 404, "not_found")
    office.sequence()
    first = checkpoint(door)
    parsed = [parse_entry(entry) for entry in entries(voted)]
    # The order says nothing: it is that of random numbers.
    nonces = [one.nonce for one in parsed]
    assert nonces == sorted(nonces) and len(set(nonces)) == len(nonces)
    with voted.sql() as db:
        found = db.execute(
            "SELECT kind, subject, detail, created_at, nonce FROM audit_events "
            "WHERE election = %s",
            (voted.id,),
        ).fetchall()
    events = {row[4].bytes: row for row in found}
    assert set(events) == set(nonces) and first == root(voted)
    for one in parsed:
        kind, subject, detail, at, _ = events[one.nonce]
        assert one[1:4] == (detail, voted.id, kind) and one.subject == subject
        assert set(detail) == KINDS[kind].members
        assert one.at == _coarse(kind, at)
    assert Counter(one.kind for one in parsed) == {
        "election_prepared": 1,
        "election_created": 1,
        "roster_imported": 1,
        "election_opened": 1,
        # Issuance, ballot box, the three signers; and the worker's data key.
        "key_made": 6,
        "token_issued": 1,
        "claim_refused": 2,
        "vote_refused": 1,
        "vote_accepted": 1,
        "token_reused": 1,
    }
    voted.close()
    office.sequence()
    later = [parse_entry(entry) for entry in entries(voted)]
    assert later[: len(parsed)] == parsed
    assert [one.kind for one in later[len(parsed) :]] == ["election_closed"]
    assert checkpoint(door) == root(voted)


def _coarse(kind: str, at: Any) -> Any:
    if KINDS[kind].cause is Cause.VOTER:
        at = at.replace(minute=0, second=0)
    return at.replace(microsecond=0)


def test_keys_are_named_by_purpose_and_id(voted: MadeElection) -> None:
    with voted.sql() as db:
        made = db.execute(
            "SELECT detail ->> 'purpose', subject FROM audit_events "
            "WHERE kind = 'key_made' AND election = %s",
            (voted.id,),
        ).fetchall()
        keys = db.execute(
            "SELECT purpose, id::text FROM wrapped_keys WHERE election = %s",
            (voted.id,),
        ).fetchall()
    assert sorted(made) == sorted(keys)
    assert [purpose for purpose, _ in keys].count("data") == 1


def test_a_key_that_a_vote_needed_does_not_tell_when(
    office: Office, voted: MadeElection
) -> None:
    """Every sealed ballot names its data key, the first of a worker's a new one."""
    office.sequence()
    parsed = [parse_entry(entry) for entry in entries(voted)]
    made = [one for one in parsed if one.kind == "key_made"]
    assert {"data"} < {one.detail["purpose"] for one in made}
    assert {(one.at.minute, one.at.second) for one in made} == {(0, 0)}


def test_entries_and_tiles_are_not_public(
    office: Office, engine: Engine, voted: MadeElection
) -> None:
    office.sequence()
    door = engine.doors(voted)[0]
    size = checkpoint(door).size
    for rest in (
        f"tile/0/000.p/{size}",
        f"tile/entries/000.p/{size}",
        f"consistency/1/{size}",
    ):
        answer = door.http.get(door.path(f"audit-log/{rest}"))
        assert_problem(answer, 404, "not_found")
    # Nor does a web process that was taken over get them from the database.
    with psycopg.connect(engine.database.app_url) as db:
        for table in ("log_entries", "log_tiles"):
            kinds = db.execute(f"SELECT DISTINCT kind FROM {table}").fetchall()
            assert ("receipts",) in kinds and ("audit",) not in kinds


def test_what_happens_before_an_election_is_created_waits(
    office: Office, election: MadeElection
) -> None:
    name, engine = "only-prepared", election.engine
    prepared = ceremony.prepare(engine, election.keys, draft(id=name))
    office.sequence()
    # That it was prepared, and its five keys.
    waits = "SELECT count(*) FROM log_queue WHERE election = %s AND kind = 'audit'"
    assert election.count(waits, name) == 6
    signed = sign_manifest(prepared, AUTHORITY)
    ceremony.create(engine, signed, AUTHORITY.verifier.text())
    office.sequence()
    with election.sql() as db:
        found = [parse_entry(row[0]).kind for row in db.execute(_ENTRIES, (name,))]
    assert Counter(found) == {
        "election_prepared": 1,
        "key_made": 5,
        "election_created": 1,
    }


ALTERED = {
    "edited": "UPDATE audit_events SET subject = '\u00fc' ",
    "gone": "DELETE FROM audit_events ",
}


@pytest.mark.parametrize("what", ALTERED)
def test_an_event_that_was_altered_before_it_was_logged(
    office: Office, engine: Engine, what: str
) -> None:
    election = engine.make_election(id=f"event-{what}", voters=1)
    owner = engine.database.owner_url
    with tampering(owner) as db:
        db.execute("ALTER TABLE audit_events DROP CONSTRAINT ck_audit_events_subject")
        db.execute(
            f"{ALTERED[what]} WHERE kind = 'election_opened' AND election = %s",
            (election.id,),
        )
    try:
        done = office.log("sequence", "--once")
        assert done.returncode == 3 and "ALARM: the event" in done.stderr
    finally:
        with tampering(owner) as db:
            db.execute("DELETE FROM log_queue WHERE election = %s", (election.id,))
            db.execute("DELETE FROM audit_events WHERE election = %s", (election.id,))
            db.execute(
                "ALTER TABLE audit_events ADD CONSTRAINT ck_audit_events_subject "
                "CHECK (subject ~ '^[!-~]{1,128}$')"
            )


def test_an_election_that_has_no_key_for_it_is_passed_over(
    office: Office, engine: Engine, voted: MadeElection
) -> None:
    with voted.sql() as db:
        db.execute(
            "DELETE FROM wrapped_keys WHERE election = %s AND purpose = 'audit-log'",
            (voted.id,),
        )
    office.sequence()
    assert entries(voted) == []
    door = engine.doors(voted)[0]
    assert door.http.get(door.path("log/checkpoint")).status_code == 200
    with voted.sql() as db:
        db.execute("DELETE FROM log_queue WHERE election = %s", (voted.id,))


@pytest.fixture
def full(office: Office, voted: MadeElection) -> Iterator[MadeElection]:
    office.sequence()
    yield voted


CHANGES = (
    "UPDATE {table} SET kind = kind WHERE election = '{election}'",
    "DELETE FROM {table} WHERE election = '{election}'",
    "TRUNCATE {table}",
)


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_nobody_changes_what_is_append_only(full: MadeElection, table: str) -> None:
    database = full.database
    superuser = database.superuser_url
    replica = "SET session_replication_role = replica; "
    for change in CHANGES:
        statement = change.format(table=table, election=full.id)
        for url in (database.app_url, database.sequencer_url):
            with (
                psycopg.connect(url) as db,
                pytest.raises(errors.InsufficientPrivilege),
            ):
                db.execute(statement)
        for url, before in (
            (database.owner_url, ""),
            (superuser, ""),
            (superuser, replica),
        ):
            with (
                psycopg.connect(url) as db,
                pytest.raises(errors.RestrictViolation, match="append-only"),
            ):
                db.execute(before + statement)


def test_numbers_that_postgres_writes_otherwise(
    office: Office, engine: Engine, election: MadeElection
) -> None:
    """Nobody who may add events can stop the log with one."""
    with psycopg.connect(engine.database.app_url) as db:
        db.execute(
            "INSERT INTO audit_events (election, kind, detail) "
            """VALUES (%s, 'claim_refused', '{"n": 1.00, "m": 1e3, "t": "\u00e9"}')""",
            (election.id,),
        )
    office.sequence()
    found = [parse_entry(entry) for entry in entries(election)]
    (other,) = (one for one in found if one.kind == "claim_refused")
    assert other.detail == {"n": 1, "m": 1000, "t": "\u00e9"}
    assert (other.at.minute, other.at.second) == (0, 0)
