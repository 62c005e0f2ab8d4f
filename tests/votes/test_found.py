"""What is asked of votes is found by an index, however many there are."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, select, text

from tests.support.databases import Database
from votepyramid.db import make_engine
from votepyramid.elections import finishing
from votepyramid.votes import holding, service
from votepyramid.votes.models import VoteSubmission, decided

_ELECTION = text(
    "INSERT INTO elections (id, title, signed_manifest, manifest_hash, authority, "
    "policy_hash, opens_at, closes_at, grace_seconds) "
    "VALUES ('e', 'x', '{}', sha256('m'), 'x', 'x', now(), now() + interval '1 day', 0)"
)
_VOTE = text(
    "INSERT INTO vote_submissions (id, election, tag, ciphertext_hash, receipt_hash, "
    "status, code) VALUES (gen_random_uuid(), 'e', 't', 'c', :hash, 'rejected', 'x')"
)
# What this transaction alone has read from end to end.
_READ_WHOLE = text("SELECT relname FROM pg_stat_xact_user_tables WHERE seq_scan > 0")


@pytest.fixture(scope="module")
def engine(module_database: Database) -> Iterator[Engine]:
    engine = make_engine(module_database.owner_url, pool_size=1)
    with engine.begin() as connection:
        connection.execute(_ELECTION)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """Of tables so small that Postgres would read them whole."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        yield connection
        assert not {"vote_submissions", "vote_groups"} & {
            *connection.scalars(_READ_WHOLE)
        }


def test_a_vote_by_its_receipt_hash(connection: Connection) -> None:
    assert service.status(connection, "e", "f" * 64) is None


def test_votes_however_decided(connection: Connection) -> None:
    refused = secrets.token_hex(32)
    connection.execute(_VOTE, {"hash": refused})
    status = select(VoteSubmission.status).where(decided([refused, "f" * 64]))
    assert [*connection.scalars(status)] == ["rejected"]


def test_how_many_are_under_way(connection: Connection) -> None:
    held, recorded, ended = (secrets.token_hex(32) for _ in range(3))
    for one in (held, recorded, ended):
        holding.note(connection, "e", one, "group")
    holding.recorded(connection, "e", [recorded], "group")
    holding.settle(connection, ended, "group", holding.ENDED)
    assert finishing.under_way(connection, "e") == 1
    assert finishing.under_way(connection, "another") == 0
