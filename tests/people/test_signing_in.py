"""Signing in, being refused alike, and lockout."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Engine

from tests.people.conftest import PASSWORD, add, at_once
from votepyramid.people import passwords, service, sessions, setup
from votepyramid.people.errors import (
    PassphraseWrong,
    PersonDisabled,
    SessionEnded,
    SignInRefused,
)
from votepyramid.people.sessions import Session
from votepyramid.people.signing_in import FREE_ATTEMPTS, sign_in, sign_in_again

Sql = Callable[..., Any]
WRONG = "ten blue bottles stood"
WAIT = "SELECT extract(epoch FROM locked_until - clock_timestamp())::float FROM people"


def refused(engine: Engine, name: str, password: str, times: int = 1) -> str:
    for _ in range(times):
        with pytest.raises(SignInRefused) as said:
            sign_in(engine, name, password)
    return str(said.value)


def test_everybody_is_refused_with_the_same_words_and_work(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(engine, "ada", "administrator")
    add(engine, "gone", "viewer")
    service.disable(engine, "gone")
    add(engine, "locked", "viewer")
    refused(engine, "locked", WRONG, FREE_ATTEMPTS)
    setup.invite(engine, "invited", ["viewer"])
    work: list[bool] = []
    verify = passwords._hasher.verify

    def counted(stored: str, password: str) -> bool:
        # Of the parameters that make the work, the same for all.
        work.append(stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$"))
        return verify(stored, password)

    class Hasher:
        verify = staticmethod(counted)
        hash = passwords._hasher.hash

    monkeypatch.setattr(passwords, "_hasher", Hasher)
    said = {
        refused(engine, "ada", WRONG),
        refused(engine, "nobody", PASSWORD),
        refused(engine, "nul\0", PASSWORD),
        refused(engine, "gone", PASSWORD),
        refused(engine, "locked", PASSWORD),
        refused(engine, "invited", PASSWORD),
    }
    assert len(said) == 1
    assert work == [True] * 6


def test_the_fifth_failure_locks_and_each_further_one_for_longer(
    engine: Engine, sql: Sql, logged: list[dict[str, Any]]
) -> None:
    add(engine, "ada", "administrator")
    refused(engine, "ada", WRONG, FREE_ATTEMPTS - 1)
    assert sql(WAIT) == [(None,)]
    waits = []
    for _ in range(10):
        refused(engine, "ada", WRONG)
        waits += [sql(WAIT)[0][0]]
        sql("UPDATE people SET locked_until = clock_timestamp()")
    rounded = [round(wait / 30) * 30 for wait in waits]
    assert rounded == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    alarms = [line for line in logged if line["event"] == "person_locked_out"]
    assert [line["failed"] for line in alarms] == list(range(5, 15))
    assert {line["log_level"] for line in alarms} == {"error"}
    assert sign_in(engine, "ada", PASSWORD).name == "ada"
    assert sql("SELECT failed_count, locked_until FROM people") == [(0, None)]


def test_who_is_locked_out_waits_by_the_databases_clock(
    engine: Engine, sql: Sql
) -> None:
    add(engine, "ada", "administrator")
    refused(engine, "ada", WRONG, FREE_ATTEMPTS)
    # Nor does trying make it longer.
    before = sql("SELECT failed_count, locked_until FROM people")
    refused(engine, "ada", PASSWORD)
    assert sql("SELECT failed_count, locked_until FROM people") == before
    (ada,) = service.everybody(engine)
    assert ada.locked_until is not None
    service.unlock(engine, "ada")
    (ada,) = service.everybody(engine)
    assert (ada.failed_count, ada.locked_until) == (0, None)
    assert sign_in(engine, "ada", PASSWORD).name == "ada"


def test_guesses_at_once_are_counted_before_they_are_looked_at(
    engine: Engine,
    sql: Sql,
    logged: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passwords, "_PATIENCE_S", 60.0)
    add(engine, "ada", "administrator")
    done = at_once([partial(sign_in, engine, "ada", WRONG) for _ in range(12)])
    assert all(isinstance(one, SignInRefused) for one in done)
    assert sql("SELECT failed_count FROM people") == [(FREE_ATTEMPTS,)]
    looked_at = [line for line in logged if "failed" in line]
    assert len(looked_at) == FREE_ATTEMPTS


def test_a_name_that_nobody_has_is_not_logged(
    engine: Engine, logged: list[dict[str, Any]]
) -> None:
    refused(engine, "my secret typed too early", "x")
    assert logged == [{"event": "sign_in_refused", "log_level": "warning"}]


def test_a_hash_of_older_parameters_is_made_anew(engine: Engine, sql: Sql) -> None:
    add(engine, "ada", "administrator")
    old = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    sql("UPDATE people SET password_hash = %s", old)
    refused(engine, "ada", WRONG)
    assert sql("SELECT password_hash FROM people") == [(old,)]
    sign_in(engine, "ada", PASSWORD)
    ((made,),) = sql("SELECT password_hash FROM people")
    assert made.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    sign_in(engine, "ada", PASSWORD)
    assert sql("SELECT password_hash FROM people") == [(made,)]


def test_who_is_disabled_while_the_passphrase_is_checked_stays_out(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(engine, "ada", "administrator")
    add(engine, "bob", "viewer")
    matches = passwords.matches

    def meanwhile(stored: str | None, password: str) -> bool:
        service.disable(engine, "bob")
        return matches(stored, password)

    monkeypatch.setattr(passwords, "matches", meanwhile)
    refused(engine, "bob", PASSWORD)


def test_a_new_passphrase_takes_the_place_of_the_old(engine: Engine) -> None:
    add(engine, "ada", "administrator")
    service.set_password(engine, "ada", WRONG)
    refused(engine, "ada", PASSWORD)
    assert sign_in(engine, "ada", WRONG).name == "ada"
    add(engine, "bob", "viewer")
    service.disable(engine, "bob")
    with pytest.raises(PersonDisabled):
        service.set_password(engine, "bob", WRONG)


@pytest.fixture
def inside(engine: Engine, sql: Sql) -> Session:
    """Of ada, who signed in an hour ago."""
    add(engine, "ada", "administrator")
    opened = sessions.open(engine, sign_in(engine, "ada", PASSWORD).id)
    sql("UPDATE people_sessions SET signed_in_at = signed_in_at - interval '1 hour'")
    return sessions.read(engine, opened.secret)


def wrong_inside(engine: Engine, session: Session, times: int) -> list[str]:
    said = []
    for _ in range(times):
        with pytest.raises(PassphraseWrong) as refusal:
            sign_in_again(engine, session, WRONG)
        said.append(str(refusal.value))
    return said


def test_a_stranger_at_the_door_keeps_nobody_inside_from_acting(
    engine: Engine, sql: Sql, inside: Session
) -> None:
    refused(engine, "ada", WRONG, FREE_ATTEMPTS)
    locked = sql("SELECT failed_count, locked_until FROM people")
    assert locked[0][0] == FREE_ATTEMPTS
    sign_in_again(engine, inside, PASSWORD)
    recent = "SELECT clock_timestamp() - signed_in_at < interval '1 minute' "
    assert sql(f"{recent} FROM people_sessions") == [(True,)]
    # And whoever is inside opens no door to who is outside.
    assert sql("SELECT failed_count, locked_until FROM people") == locked
    refused(engine, "ada", PASSWORD)


def test_wrong_ones_inside_are_counted_there_and_end_the_session(
    engine: Engine, sql: Sql, inside: Session, logged: list[dict[str, Any]]
) -> None:
    said = wrong_inside(engine, inside, FREE_ATTEMPTS - 1)
    assert "4 times more" in said[0] and "once more" in said[-1]
    # In a row: the right one begins anew.
    sign_in_again(engine, inside, PASSWORD)
    wrong_inside(engine, inside, FREE_ATTEMPTS - 1)
    for password in (WRONG, PASSWORD):
        with pytest.raises(SessionEnded):
            sign_in_again(engine, inside, password)
    assert sessions.listed(engine, "ada") == []
    alarms = [line for line in logged if line["log_level"] == "error"]
    assert [line["event"] for line in alarms] == ["session_guessed_at"]
    assert sql("SELECT failed_count, locked_until FROM people") == [(0, None)]
    assert sign_in(engine, "ada", PASSWORD).name == "ada"


def test_guesses_at_once_inside_are_counted_before_they_are_looked_at(
    engine: Engine,
    sql: Sql,
    inside: Session,
    logged: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passwords, "_PATIENCE_S", 60.0)
    done = at_once([partial(sign_in_again, engine, inside, WRONG) for _ in range(12)])
    assert all(isinstance(one, PassphraseWrong | SessionEnded) for one in done)
    assert sum(isinstance(one, PassphraseWrong) for one in done) < FREE_ATTEMPTS
    assert sql("SELECT failed_count FROM people_sessions") == [(FREE_ATTEMPTS,)]
    assert sum(line["log_level"] == "error" for line in logged) == 1


def test_who_is_disabled_gives_no_passphrase_again(
    engine: Engine, inside: Session, sql: Sql
) -> None:
    sql("UPDATE people SET disabled_at = clock_timestamp()")
    with pytest.raises(SessionEnded):
        sign_in_again(engine, inside, PASSWORD)
