"""Sessions: how they end, by the database's clock, and who ends them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, event

from tests.people.conftest import PASSWORD, add, wait_for_locks
from votepyramid.people import service, sessions
from votepyramid.people.errors import NoSuchPerson, SessionEnded
from votepyramid.people.sessions import Opened
from votepyramid.people.signing_in import sign_in

Sql = Callable[..., Any]


@pytest.fixture
def opened(engine: Engine) -> Opened:
    """A session of bob, the viewer; ada administers."""
    add(engine, "ada", "administrator")
    add(engine, "bob", "viewer")
    return sessions.open(engine, sign_in(engine, "bob", PASSWORD).id)


def ended(engine: Engine, secret: str) -> bool:
    try:
        sessions.read(engine, secret)
    except SessionEnded:
        return True
    return False


def test_a_session_says_who_and_what_they_may_now(
    engine: Engine, opened: Opened
) -> None:
    found = sessions.read(engine, opened.secret)
    assert (found.id, found.name, found.roles) == (opened.id, "bob", ("viewer",))
    service.set_roles(engine, "bob", ["operator", "auditor"])
    assert sessions.read(engine, opened.secret).roles == ("operator", "auditor")
    assert opened.secret not in repr(opened)


@pytest.mark.parametrize(
    "change",
    [
        "seen_at = clock_timestamp() - interval '30 minutes'",
        "expires_at = clock_timestamp()",
        "revoked_at = clock_timestamp()",
    ],
)
def test_a_session_ends(engine: Engine, sql: Sql, opened: Opened, change: str) -> None:
    assert not ended(engine, opened.secret)
    sql(f"UPDATE people_sessions SET {change}")
    assert ended(engine, opened.secret)
    assert sessions.listed(engine, "bob") == []


def test_being_seen_puts_off_the_idle_end_and_not_the_other(
    engine: Engine, sql: Sql, opened: Opened
) -> None:
    almost = "clock_timestamp() - interval '29 minutes'"
    sql(f"UPDATE people_sessions SET seen_at = {almost}")
    before = sql("SELECT expires_at FROM people_sessions")
    assert not ended(engine, opened.secret)
    fresh = "SELECT clock_timestamp() - seen_at < interval '1 minute', expires_at - "
    assert sql(
        f"{fresh}created_at <= interval '12 hours 1 second' FROM people_sessions"
    ) == [(True, True)]
    assert sql("SELECT expires_at FROM people_sessions") == before


def test_what_asks_by_itself_puts_off_no_end(
    engine: Engine, sql: Sql, opened: Opened
) -> None:
    almost = "clock_timestamp() - interval '29 minutes'"
    sql(f"UPDATE people_sessions SET seen_at = {almost}")
    before = sql("SELECT seen_at FROM people_sessions")
    by_itself = sessions.read(engine, opened.secret, seen=False)
    assert sql("SELECT seen_at FROM people_sessions") == before
    seen = sessions.read(engine, opened.secret)
    assert (seen.name, seen.roles) == (by_itself.name, by_itself.roles)
    sql("UPDATE people_sessions SET seen_at = seen_at - interval '30 minutes'")
    with pytest.raises(SessionEnded):
        sessions.read(engine, opened.secret, seen=False)


@pytest.mark.parametrize("secret", ["", "x", "A" * 43, "A" * 44, "\u00e4" * 43])
def test_what_is_no_secret_is_no_session(
    engine: Engine, opened: Opened, secret: str
) -> None:
    assert ended(engine, secret)


def test_one_or_all_are_revoked(engine: Engine, opened: Opened) -> None:
    ada = sign_in(engine, "ada", PASSWORD).id
    first, second = sessions.open(engine, ada), sessions.open(engine, ada)
    assert {one.id for one in sessions.listed(engine, "ada")} == {first.id, second.id}
    sessions.revoke(engine, "ada", first.id)
    assert ended(engine, first.secret) and not ended(engine, second.secret)
    with pytest.raises(SessionEnded):
        sessions.revoke(engine, "ada", first.id)
    # Not by way of another person.
    with pytest.raises(SessionEnded):
        sessions.revoke(engine, "ada", opened.id)
    assert sessions.revoke_all(engine, "ada") == 1
    assert ended(engine, second.secret) and not ended(engine, opened.secret)
    for name in ("nobody", "nul\0"):
        with pytest.raises(NoSuchPerson):
            sessions.revoke_all(engine, name)


def test_disabling_ends_sessions_for_good(engine: Engine, opened: Opened) -> None:
    assert service.disable(engine, "bob") == 1
    assert ended(engine, opened.secret)
    service.enable(engine, "bob")
    assert ended(engine, opened.secret)
    assert sign_in(engine, "bob", PASSWORD).name == "bob"


def test_nobody_slips_in_while_they_are_disabled(
    engine: Engine, sql: Sql, opened: Opened
) -> None:
    bob = sessions.read(engine, opened.secret).person
    acts: list[Future[int]] = []
    with ThreadPoolExecutor(1) as beside:

        def meanwhile(_db: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if statement.startswith("INSERT INTO people_sessions"):
                acts.append(beside.submit(service.disable, engine, "bob"))
                wait_for_locks(sql, 1)

        event.listen(engine, "before_cursor_execute", meanwhile)
        late = sessions.open(engine, bob)
        event.remove(engine, "before_cursor_execute", meanwhile)
        # The one that was there, and the one that came meanwhile.
        assert acts[0].result() == 2
    service.enable(engine, "bob")
    assert ended(engine, late.secret)


def test_a_sign_in_is_recent_for_a_while(
    engine: Engine, sql: Sql, opened: Opened
) -> None:
    session = sessions.read(engine, opened.secret)
    assert sessions.recent(session, 300)
    sql(
        "UPDATE people_sessions SET signed_in_at = signed_in_at - interval '10 minutes'"
    )
    session = sessions.read(engine, opened.secret)
    assert not sessions.recent(session, 300) and sessions.recent(session, 900)
    with pytest.raises(SessionEnded):
        sessions.renew(engine, session.id, sign_in(engine, "ada", PASSWORD).id)
    assert not sessions.recent(sessions.read(engine, opened.secret), 300)
    sessions.renew(engine, session.id, session.person)
    assert sessions.recent(sessions.read(engine, opened.secret), 300)


def test_a_new_passphrase_ends_the_other_sessions(
    engine: Engine, opened: Opened
) -> None:
    other = sessions.open(engine, sessions.read(engine, opened.secret).person)
    service.set_password(engine, "bob", "ten blue bottles stood", keep=opened.id)
    assert not ended(engine, opened.secret)
    assert ended(engine, other.secret)


def test_ended_sessions_are_swept_after_a_month(
    engine: Engine, sql: Sql, opened: Opened
) -> None:
    bob = sessions.read(engine, opened.secret).person
    sql("UPDATE people_sessions SET expires_at = now() - interval '31 days'")
    new = sessions.open(engine, bob)
    assert sql("SELECT id FROM people_sessions") == [(new.id,)]
