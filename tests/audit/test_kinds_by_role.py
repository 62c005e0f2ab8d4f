"""Which kinds of events each database role may append, asked as that role."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.support.databases import Database
from votepyramid.audit.kinds import KINDS
from votepyramid.audit.kinds_by_role import APPENDED_BY

_INSERT = "INSERT INTO audit_events (election, kind) VALUES ('e', %s)"
_UNKNOWN = "something_else"
_ALL = frozenset({*KINDS, _UNKNOWN})


def let_in(db: psycopg.Connection[Any], kind: str) -> bool:
    try:
        with db.transaction(force_rollback=True):
            db.execute(_INSERT, (kind,))
    except errors.InsufficientPrivilege:
        return False
    return True


@pytest.mark.parametrize("role", ["owner", "sequencer", *APPENDED_BY])
def test_a_role_appends_the_kinds_that_its_code_writes(
    module_database: Database, role: str
) -> None:
    short = {"application": "app", "administrators": "admin"}.get(role, role)
    with psycopg.connect(getattr(module_database, f"{short}_url")) as db:
        found = {kind for kind in _ALL if let_in(db, kind)}
    whole = {"owner": _ALL, "sequencer": frozenset[str]()}
    assert found == {**whole, **APPENDED_BY}[role]


def test_only_known_kinds_are_listed() -> None:
    assert frozenset[str]().union(*APPENDED_BY.values()) <= KINDS.keys()


def test_a_member_of_a_role_is_not_that_role(module_database: Database) -> None:
    """Else whoever logs in as a role of their own would be let past the list."""
    with psycopg.connect(module_database.superuser_url) as db:
        db.execute("CREATE ROLE sub LOGIN IN ROLE votepyramid_app")
        db.execute("SET ROLE sub")
        with pytest.raises(errors.InsufficientPrivilege, match="sub appends no"):
            db.execute(_INSERT, ("election_finished",))
        db.rollback()


def test_what_a_role_may_not_append_by_hand_its_acts_leave(
    module_database: Database,
) -> None:
    """The database tells of each key that is stored, whoever stores it."""
    with psycopg.connect(module_database.app_url) as db:
        assert not let_in(db, "key_made")
        db.execute(
            "INSERT INTO wrapped_keys (id, election, purpose, wrapped) "
            "VALUES (gen_random_uuid(), 'e', 'data', '\\x00')"
        )
        db.commit()
    with psycopg.connect(module_database.owner_url) as db:
        assert db.execute("SELECT kind FROM audit_events").fetchall() == [("key_made",)]
