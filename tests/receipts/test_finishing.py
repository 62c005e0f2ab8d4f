"""The end of the close: nothing signed while a leaf is missing, nothing taken after."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg import errors

from tests.receipts.conftest import Office
from tests.receipts.ends import closed, opened, refused
from tests.receipts.reading import Reader, cast
from tests.support.elections import MadeElection
from tests.support.engines import Engine
from tests.support.tampering import forget, tampering
from tests.support.voting import assert_problem
from votepyramid.elections import finishing
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.elections.finishing import NotYet
from votepyramid.protocol.absence import TagTree
from votepyramid.protocol.leaf import parse_leaf


@pytest.fixture
def reader(engine: Engine, election: MadeElection) -> Reader:
    return Reader(engine.doors(election)[0])


def test_what_is_signed_when_every_leaf_is_there(
    office: Office, reader: Reader, election: MadeElection
) -> None:
    ballots = cast(reader, *range(7))
    reader.door.token("v8")
    office.sequence()
    closed(election)
    note = election.finish(office.sequence)
    said = opened(election, note)
    assert (said.eligible, said.issued, said.used, said.votes) == (20, 8, 7, 7)
    # As anyone makes them again from what is public.
    checkpoint = reader.checkpoint()
    assert (said.log.size, said.log.root) == (checkpoint.size, checkpoint.root)
    tree = TagTree(parse_leaf(entry).t for entry in reader.entries(0, 7))
    assert (said.tags.size, said.tags.root) == (tree.size, tree.root)
    # The same at every asking, one event, and no receipt lost.
    assert election.finish() == note
    detail = election.count(
        "SELECT detail->>'statement' FROM audit_events "
        "WHERE election = %s AND kind = 'election_finished'",
        election.id,
    )
    assert detail == hashlib.sha256(note.encode()).hexdigest()
    assert election.counts().events["election_finished"] == 1
    assert all(reader.door.cast(one).status_code == 200 for one in ballots)
    assert_problem(reader.door.claim("v9"), 403, "election_closed")


def test_an_election_without_a_vote(office: Office, election: MadeElection) -> None:
    closed(election)
    said = opened(election, election.finish(office.sequence))
    assert (said.eligible, said.issued, said.log.size, said.tags.size) == (20, 0, 0, 0)


def test_a_statement_stays(office: Office, election: MadeElection) -> None:
    closed(election)
    election.finish(office.sequence)
    with election.sql() as db:
        for statement in (
            "UPDATE election_statements SET note = 'x'",
            "DELETE FROM election_statements",
            "TRUNCATE election_statements",
        ):
            with pytest.raises(errors.CheckViolation, match="stays"):
                db.execute(statement)


def test_not_before_the_last_ballots_are_answered(
    office: Office, election: MadeElection
) -> None:
    with pytest.raises(CeremonyError, match="is open: close it first"):
        election.finish()
    election.close()
    refused(election, "are answered until")
    with election.sql() as db:
        db.execute(
            "UPDATE elections SET closed_at = clock_timestamp() "
            "- make_interval(secs => grace_seconds + 20) WHERE id = %s",
            (election.id,),
        )
    refused(election, "are answered until")
    election.pass_grace()
    election.finish(office.sequence)


def test_votes_that_wait_for_the_log(
    office: Office, reader: Reader, election: MadeElection
) -> None:
    cast(reader, 0, 1)
    closed(election)
    refused(election, "2 votes .* wait for the log")
    office.sequence()
    with election.sql() as db:
        db.execute(
            "UPDATE log_heads SET checkpoint_size = 1 WHERE election = %s",
            (election.id,),
        )
    refused(election, "no published checkpoint")
    office.sequence()
    with election.sql() as db:
        db.execute(
            "UPDATE log_heads SET checkpoint_size = 2 WHERE election = %s",
            (election.id,),
        )
    election.finish(office.sequence)


def test_a_vote_that_never_came_into_the_log(
    office: Office, reader: Reader, election: MadeElection
) -> None:
    cast(reader, *range(4))
    with election.sql() as db:
        db.execute(
            "DELETE FROM log_queue WHERE id = "
            "(SELECT min(id) FROM log_queue "
            "WHERE kind = 'receipts' AND election = %s)",
            (election.id,),
        )
    office.sequence()
    closed(election)
    refused(election, "1 accepted votes .* are not in its log")


OURS = "kind = 'receipts' AND election = %s"
ENTRY = f"UPDATE log_entries SET entry = {{}} WHERE index = 1 AND {OURS}"
OTHERS = (
    "(SELECT o.entry FROM log_entries o WHERE o.index = 2 "
    "AND o.kind = log_entries.kind AND o.election = log_entries.election)"
)
HEAD = f"UPDATE log_heads SET {{}} WHERE {OURS}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (f"DELETE FROM log_entries WHERE index = 1 AND {OURS}", "do not make"),
        (ENTRY.format(OTHERS), "do not make"),
        (ENTRY.format("'x'"), "is no vote"),
        (HEAD.format("root = sha256('x')"), "as it stands"),
        (HEAD.format("size = 2, checkpoint_size = 2"), "as it stands"),
        (
            HEAD.format(r"checkpoint = replace(checkpoint, E'\n4\n', E'\n5\n')"),
            "does not hold",
        ),
        (
            "UPDATE vote_tokens SET used = false WHERE election = %s",
            "do not agree, there are not as many votes as used tokens",
        ),
    ],
)
def test_tables_that_were_changed(
    office: Office,
    engine: Engine,
    change: str,
    said: str,
) -> None:
    number = hashlib.sha256(change.encode()).hexdigest()[:8]
    election = engine.make_election(id=f"changed-{number}", voters=5)
    cast(Reader(engine.doors(election)[0]), *range(4))
    office.sequence()
    closed(election)
    owner = election.database.owner_url
    with tampering(owner) as db:
        if "used = false" in change:
            db.execute("ALTER TABLE vote_tokens DISABLE TRIGGER USER")
        db.execute(change, (election.id,))
        db.execute("ALTER TABLE vote_tokens ENABLE TRIGGER USER")
    try:
        refused(election, said)
    finally:
        # The sequencer would alarm, and not go on for the other tests.
        forget(owner, office.folder, election.id)


def test_two_finishing_at_once_sign_one_statement(
    office: Office, reader: Reader, election: MadeElection
) -> None:
    cast(reader, 0, 1, 2)
    office.sequence()
    closed(election)
    with pytest.raises(NotYet):
        election.finish()
    office.sequence()
    told: list[tuple[int, int]] = []

    def finish(_number: int) -> finishing.Finished:
        return finishing.finish(
            election.engine,
            election.keys,
            election.id,
            progress=lambda done, of: told.append((done, of)),
        )

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(finish, range(2)))
    assert len({one.note for one in done}) == 1
    assert sorted(one.again for one in done) in ([False, True], [True, True])
    assert set(told) == {(3, 3)}
    assert election.counts().events["election_finished"] == 1
