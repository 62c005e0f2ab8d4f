"""Audit events as people read them on the pages."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Connection, select, text

from tests.support.databases import Database
from votepyramid.audit import browsing
from votepyramid.audit.entries import entries
from votepyramid.audit.models import AuditEvent
from votepyramid.audit.service import Event, append
from votepyramid.db import make_engine
from votepyramid.logs import store
from votepyramid.logs.store import AUDIT, Log

HASHES = [f"{number:064x}" for number in range(100)]
ROUNDS = 60
# What patterns and JSON take for something else than it is.
ODD = ("100%", "a_c", "\\", '"kind":"vote_accepted"')
_ELECTION = text(
    "INSERT INTO elections (id, title, signed_manifest, manifest_hash, authority, "
    "policy_hash, opens_at, closes_at, grace_seconds) "
    "VALUES (:id, 'x', '{}', :hash, 'x', 'x', now(), now() + interval '1 day', 0)"
)


@pytest.fixture
def connection(module_database: Database) -> Iterator[Connection]:
    """Of the administrators' role."""
    engine = make_engine(module_database.admin_url, pool_size=1)
    with engine.connect() as made:
        yield made
    engine.dispose()


@pytest.fixture(scope="module", autouse=True)
def events(module_database: Database) -> None:
    """Election "a" with one act, "b" with 80 among 6,000 votes, all in the log."""
    owner = make_engine(module_database.owner_url, pool_size=1)
    with owner.begin() as made:
        for name in ("a", "b"):
            made.execute(_ELECTION, {"id": name, "hash": name.encode() * 32})
        append(made, "a", [Event("election_opened")])
        for _ in range(ROUNDS):
            append(made, "b", [Event("vote_accepted", one) for one in HASHES])
            append(made, "b", [Event("election_prepared")])
        append(made, "b", [Event("election_closed")] * 20)
        append(made, "a", [Event("vote_refused", one, {"code": "x"}) for one in ODD])
    for name in ("a", "b"):
        with owner.begin() as made:
            of = AuditEvent.election == name
            ids = [*map(str, made.scalars(select(AuditEvent.id).where(of)))]
            ids.sort(key=int)
            log = Log(name, AUDIT)
            store.append(made, log, store.begin(made, log), entries(made, name, ids))
    with psycopg.connect(module_database.owner_url, autocommit=True) as db:
        db.execute("VACUUM ANALYZE audit_events")
    owner.dispose()


def test_acts_are_paged_from_the_newest(connection: Connection) -> None:
    found, before, pages = [], None, 0
    while pages == 0 or before is not None:
        page = browsing.acts(connection, before=before)
        found += page.found
        before, pages = page.before, pages + 1
    assert pages == 2 and len(found) == 1 + ROUNDS + 20
    assert [one.id for one in found] == sorted((o.id for o in found), reverse=True)
    assert found[0].kind == "election_closed" and found[-1].kind == "election_opened"
    assert found[0].by and "by" not in found[0].detail


def test_acts_of_one_election_and_kind(connection: Connection) -> None:
    (act,) = browsing.acts(connection, election="a").found
    assert (act.election, act.kind) == ("a", "election_opened")
    closed = browsing.acts(connection, election="b", kind="election_closed")
    assert len(closed.found) == 20 and closed.before is None
    # A voter's event is none of them, whatever is asked for.
    assert browsing.acts(connection, kind="vote_accepted").found == []


def test_acts_are_found_by_their_index(connection: Connection) -> None:
    plan = connection.scalars(
        text(
            "EXPLAIN SELECT id FROM audit_events "
            f"WHERE {browsing._ACTS_ONLY.text} ORDER BY id DESC LIMIT 50"
        )
    )
    assert "ix_audit_events_acts" in "\n".join(plan)


def test_voters_events_come_out_of_the_log(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = browsing.voters_events(connection, "b")
    assert len(page.found) == browsing.PAGE
    assert {one.event.kind for one in page.found} == {"vote_accepted"}
    # No exact time of a voter's event is shown.
    assert all(one.event.at.minute == one.event.at.second == 0 for one in page.found)
    indexes = [one.index for one in page.found]
    assert indexes == sorted(indexes, reverse=True)
    more = browsing.voters_events(connection, "b", before=page.before)
    assert more.found[0].index < indexes[-1]
    # One vote's events, over pages that look at a bounded number of entries.
    monkeypatch.setattr(browsing, "LOOKED_AT", 1000)
    seen, before, first = 0, None, True
    while first or before is not None:
        first = False
        part = browsing.voters_events(connection, "b", subject=HASHES[7], before=before)
        assert part.looked_at <= 1000
        assert {one.event.subject for one in part.found} <= {HASHES[7]}
        seen, before = seen + len(part.found), part.before
    assert seen == ROUNDS


@pytest.mark.parametrize("subject", ODD)
def test_a_subject_stands_for_itself(connection: Connection, subject: str) -> None:
    (one,) = browsing.voters_events(connection, "a", subject=subject).found
    assert one.event.subject == subject
    assert browsing.voters_events(connection, "a", subject=f"{subject}x").found == []
    # Not for all that a pattern of it would find.
    assert len(browsing.voters_events(connection, "a").found) == len(ODD)


@pytest.mark.parametrize("before", [0, 10**17])
def test_places_that_are_none(connection: Connection, before: int) -> None:
    browsing.acts(connection, before=before)
    browsing.voters_events(connection, "b", before=before)
    assert browsing.voters_events(connection, "nowhere", before=before).found == []
