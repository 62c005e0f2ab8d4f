"""Audit events: only those that are known, who acted, and few for a flood."""

from __future__ import annotations

import getpass
from typing import Any

import pytest

from tests.elections.ceremonies import Office
from tests.support.voting import at_once
from votepyramid.audit import service as audit
from votepyramid.audit.junk import JunkCounter
from votepyramid.audit.kind import Cause
from votepyramid.audit.kinds import KINDS
from votepyramid.audit.operators import acting, login_name
from votepyramid.db import make_engine
from votepyramid.elections import ceremony
from votepyramid.errors import Code
from votepyramid.protocol.encoding import NotCanonical
from votepyramid.settings import Settings


@pytest.mark.parametrize(
    ("kind", "subject", "detail"),
    [
        ("vote_lost", None, {}),
        ("vote_accepted", None, {"count": 1}),
        ("vote_refused", "ab" * 32, {}),
        ("vote_refused", "ab" * 32, {"code": "x", "more": 1}),
    ],
)
def test_what_is_no_event(
    kind: str, subject: str | None, detail: dict[str, Any]
) -> None:
    with pytest.raises(audit.UnknownEvent):
        audit.Event(kind, subject, detail)


@pytest.mark.parametrize(
    ("subject", "code"),
    [("a b", "x"), ("", "x"), ("ab", {}), ("ab", None), ("ab", 1.5)],
)
def test_what_the_log_could_not_hold(subject: str, code: Any) -> None:
    with pytest.raises(NotCanonical):
        audit.Event("vote_refused", subject, {"code": code})


def test_a_voters_events_name_no_operator() -> None:
    for kind in KINDS.values():
        assert ("by" in kind.members) == (kind.cause is Cause.OPERATOR)


def _by(office: Office, kind: str) -> list[str]:
    query = "SELECT detail ->> 'by' AS by FROM audit_events WHERE kind = :kind"
    return [row.by for row in office.all(query, kind=kind)]


def test_operators_events_say_who(office: Office) -> None:
    office.create()
    office.roster("spring")
    assert _by(office, "election_created") == [getpass.getuser()]
    named = acting(office.owner, Settings(operator="Öffice, shift 2"))
    ceremony.open_election(named, "spring")
    assert _by(office, "election_opened") == ["Öffice, shift 2"]


def test_a_login_name_that_is_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "two\nlines")
    assert login_name().startswith("uid ")


def _counted(office: Office) -> list[tuple[str, str, str, int]]:
    rows = office.all(
        "SELECT election, kind, detail ->> 'code' AS code, "
        "(detail ->> 'count')::int AS count FROM audit_events ORDER BY 1, 2, 3, id"
    )
    return [tuple(row) for row in rows]


def test_a_flood_is_one_event_a_minute_election_kind_and_code(office: Office) -> None:
    counter = JunkCounter(office.app)

    def knock(_: int) -> None:
        for _ in range(100):
            counter.note_vote("spring", Code.TOKEN_UNKNOWN)
            counter.note_vote("autumn", Code.TOKEN_UNKNOWN)
            counter.note_vote("spring", Code.ELECTION_CLOSED)
            counter.note_claim("spring", Code.ELECTION_CLOSED)

    at_once(knock, range(8))
    assert _counted(office) == []
    counter.flush()
    first = [
        ("autumn", "junk_refused", "token_unknown", 800),
        ("spring", "junk_refused", "token_unknown", 800),
        ("spring", "untimely_claims_refused", "election_closed", 800),
        ("spring", "untimely_refused", "election_closed", 800),
    ]
    assert _counted(office) == first
    # A minute in which there was nothing leaves nothing.
    counter.flush()
    assert _counted(office) == first
    counter.note_claim("spring", Code.ELECTION_NOT_OPEN)
    counter.flush()
    assert len(_counted(office)) == 5


def test_counts_wait_for_a_database_that_is_away(office: Office) -> None:
    away = make_engine("postgresql://nobody@127.0.0.1:1/nothing", pool_size=1)
    counter = JunkCounter(away)
    counter.note_vote("spring", Code.TOKEN_UNKNOWN)
    counter.flush()
    counter.note_vote("spring", Code.TOKEN_UNKNOWN)
    counter._engine = office.app
    counter.flush()
    assert _counted(office) == [("spring", "junk_refused", "token_unknown", 2)]
