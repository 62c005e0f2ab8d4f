"""Whoever guesses passphrases cannot make the audit log grow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.audit.acts_on_people import WRONG
from tests.audit.stage import PASSWORD
from tests.elections.ceremonies import Office
from tests.people.conftest import add, at_once
from tests.support.databases import Database
from votepyramid.db import make_engine
from votepyramid.people import passwords, service
from votepyramid.people.errors import SignInRefused
from votepyramid.people.signing_in import FREE_ATTEMPTS, sign_in

Attempt = Callable[[str], object]


@pytest.fixture
def attempt(database: Database, office: Office) -> Iterator[Attempt]:
    """One at signing in to ada's account, while an election is there."""
    office.create()
    pages = make_engine(database.admin_url, pool_size=16)
    add(pages, "ada", "administrator")
    yield partial(sign_in, pages, "ada")
    pages.dispose()


def guess(attempt: Attempt, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(SignInRefused):
            attempt(WRONG)


def of_people(office: Office) -> list[tuple[str, object]]:
    """The events of people that came after ada had set up."""
    query = "SELECT kind, detail ->> 'failed' AS failed FROM audit_events "
    query += "WHERE subject = 'ada' AND kind NOT LIKE 'person_invited' ORDER BY id"
    found = [(row.kind, row.failed) for row in office.all(query)]
    assert found.pop(0) == ("person_set_up", None)
    return found


def over(office: Office) -> None:
    office.run("UPDATE people SET locked_until = clock_timestamp()")


def test_attempts_that_lock_nobody_out_leave_no_event(
    office: Office, attempt: Attempt
) -> None:
    guess(attempt, FREE_ATTEMPTS - 1)
    # The next one would lock out, and is right.
    attempt(PASSWORD)
    attempt(PASSWORD)
    assert of_people(office) == []


def test_a_lockout_is_one_event_however_many_guess(
    office: Office, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_PATIENCE_S", 60.0)
    done = at_once([partial(attempt, WRONG)] * 12)
    assert all(isinstance(one, SignInRefused) for one in done)
    assert of_people(office) == [("person_locked_out", "5")]
    guess(attempt, 3)
    assert of_people(office) == [("person_locked_out", "5")]
    over(office)
    guess(attempt, 3)
    assert of_people(office) == [("person_locked_out", n) for n in ("5", "6")]
    # One who waits for an hour gives one an hour.
    wait = "SELECT locked_until - clock_timestamp() AS wait FROM people"
    assert 55 < office.all(wait)[0].wait.total_seconds() <= 60


def test_who_is_let_in_meanwhile_was_not_locked_out(
    office: Office, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    guess(attempt, FREE_ATTEMPTS - 1)
    matches = passwords.matches

    def meanwhile(stored: str | None, password: str) -> bool:
        service.unlock(office.owner, "ada")
        return matches(stored, password)

    monkeypatch.setattr(passwords, "matches", meanwhile)
    guess(attempt)
    assert of_people(office) == [("person_unlocked", None)]


def test_an_account_waits_also_when_that_cannot_be_noted(
    office: Office, attempt: Attempt
) -> None:
    guess(attempt, FREE_ATTEMPTS - 1)
    with office.owner.begin() as connection:
        connection.execute(
            text("REVOKE INSERT (kind) ON audit_events FROM votepyramid_admin")
        )
    with pytest.raises(DBAPIError, match="permission denied"):
        attempt(WRONG)
    with pytest.raises(SignInRefused):
        attempt(PASSWORD)
    assert of_people(office) == []
