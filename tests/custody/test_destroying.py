"""Destroying key-encryption keys: only what wraps nothing, and for good."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

import psycopg
import pytest
from botocore.exceptions import ClientError
from moto.core import DEFAULT_ACCOUNT_ID
from sqlalchemy.exc import IntegrityError

from tests.custody.conftest import Office
from tests.keys.kms import Moto
from tests.keys.test_aws import SILENCE, cut_off
from votepyramid.custody import destroying
from votepyramid.elections.ceremony import CeremonyError
from votepyramid.keys import providers
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.provider import NotAllowed, Unanswered
from votepyramid.keys.service import ElectionKeys


def _current(office: Office) -> str:
    return LocalKeyFile(office.kek).names.current


def _events(office: Office) -> list[tuple[str, str, dict[str, str]]]:
    query = (
        "SELECT election, kind, detail FROM audit_events "
        "WHERE kind IN ('kek_retired', 'kek_destroyed') ORDER BY id"
    )
    return [tuple(row) for row in office.rows(query)]


def _under(office: Office, name: str) -> None:
    """All keys under this one: as rewrapping leaves them, without a worker."""
    office.rows("DELETE FROM wrapped_keys RETURNING 1")
    office.make_keys(1)
    office.make_keys(1, "other")
    assert _current(office) == name


def test_a_key_in_use_is_not_destroyed(office: Office) -> None:
    office.make_keys(3)
    old = _current(office)
    for word in ("--yes", "--json"):
        said = office.keys("destroy", old, word, status=1)["error"]
        assert "is the current key" in said
    new = office.keys("rotate")["current"]
    said = office.keys("destroy", old, "--yes", status=1)["error"]
    assert f"3 keys of elections are wrapped under '{old}'" in said
    assert "keys rewrap" in said
    assert LocalKeyFile(office.kek).names.all == {old, new}
    assert _events(office) == []


def test_without_yes_nothing_is_done(office: Office) -> None:
    office.make_keys(1)
    old = _current(office)
    new = office.keys("rotate")["current"]
    _under(office, new)
    shown = office.keys("destroy", old)
    assert shown["destroyed"] is False and "--yes" in shown["said"]
    assert LocalKeyFile(office.kek).names.all == {old, new}
    assert _events(office) == []


def test_a_destroyed_key_is_out_of_the_file_and_in_the_audit_trail(
    office: Office,
) -> None:
    old = _current(office)
    new = office.keys("rotate")["current"]
    _under(office, new)
    shown = office.keys("destroy", old, "--yes")
    assert shown["destroyed"] is True
    assert str(office.kek) in shown["said"] and "other hosts" in shown["said"]
    assert LocalKeyFile(office.kek).names.all == {new}
    assert old not in office.kek.read_text()
    assert office.kek.stat().st_mode & 0o777 == 0o600
    told = [(e, kind) for e, kind, detail in _events(office) if detail["kek"] == old]
    assert told == [
        (election, kind)
        for kind in ("kek_retired", "kek_destroyed")
        for election in ("e", "other")
    ]


def test_a_process_of_before_cannot_wrap_under_it_any_more(office: Office) -> None:
    """It would seal ballots under something that nobody can open."""
    before = ElectionKeys(LocalKeyFile(office.kek), office.engine, 10)
    old = _current(office)
    new = office.keys("rotate")["current"]
    _under(office, new)
    with office.engine.begin() as connection:
        before.store(connection, "e", "data", uuid.uuid4(), b"k" * 32)
        connection.rollback()
    office.keys("destroy", old, "--yes")
    with (
        pytest.raises(IntegrityError, match="retired key-encryption key"),
        office.engine.begin() as connection,
    ):
        before.store(connection, "e", "data", uuid.uuid4(), b"k" * 32)


def test_whoever_is_storing_a_key_meanwhile_is_counted(office: Office) -> None:
    """A key wrapped under it, in a transaction that has not committed yet."""
    before = ElectionKeys(LocalKeyFile(office.kek), office.engine, 10)
    old = _current(office)
    new = office.keys("rotate")["current"]
    _under(office, new)
    with office.engine.begin() as connection:
        before.store(connection, "e", "data", uuid.uuid4(), b"k" * 32)
        said = office.keys("destroy", old, "--yes", status=1)["error"]
        # Not in time: nothing is done.
        assert "lock timeout" in said
    said = office.keys("destroy", old, "--yes", status=1)["error"]
    assert "1 keys of elections" in said
    assert LocalKeyFile(office.kek).names.all == {old, new}


def test_a_name_that_no_setting_has_is_left_alone(office: Office) -> None:
    said = office.keys("destroy", "kek-of-others", "--yes", status=1)["error"]
    assert "not among the older keys" in said


def test_one_that_was_retired_only_is_destroyed_by_the_same_command(
    office: Office,
) -> None:
    """The KMS was away when it was to be destroyed."""
    old = _current(office)
    new = office.keys("rotate")["current"]
    _under(office, new)
    stop = office.kek.with_name(f".{office.kek.name}.new")
    stop.touch()
    said = office.keys("destroy", old, "--yes", status=1)["error"]
    assert "another rotation" in said
    stop.unlink()
    assert {kind for _, kind, _ in _events(office)} == {"kek_retired"}
    office.keys("destroy", old, "--yes")
    assert LocalKeyFile(office.kek).names.all == {new}
    kinds = [kind for _, kind, _ in _events(office)]
    assert kinds == ["kek_retired"] * 2 + ["kek_destroyed"] * 2


def test_the_application_cannot_bring_a_retired_key_back(office: Office) -> None:
    for statement in (
        "DELETE FROM retired_keks",
        "INSERT INTO retired_keks (name) VALUES ('x')",
        "ALTER TABLE wrapped_keys DISABLE TRIGGER USER",
    ):
        with (
            psycopg.connect(office.database.app_url) as db,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            db.execute(statement)


@dataclass
class Account:
    """An office whose keys are in AWS KMS: `old` is to be destroyed."""

    office: Office
    moto: Moto
    old: str

    def destroy(self, name: str) -> str:
        settings = replace(
            self.moto.settings("new"), kek_older=frozenset({self.old, name})
        )
        names, store = providers.names(settings), providers.make(settings)
        return destroying.destroy(self.office.engine, names, store, name)

    def kinds(self) -> list[str]:
        return [kind for _, kind, _ in _events(self.office)]


@pytest.fixture
def account(office: Office) -> Iterator[Account]:
    office.make_keys(1)
    with Moto.running() as moto:
        moto.make_key("new")
        yield Account(office, moto, moto.make_key("old"))


def test_a_key_that_is_not_to_be_seen_is_not_noted_as_destroyed(
    account: Account,
) -> None:
    """It may live in the account that its ARN names. Not at the next attempt either."""
    theirs = account.old.replace(DEFAULT_ACCOUNT_ID, "999999999999")
    for _ in range(2):
        with pytest.raises(CeremonyError, match="not noted as destroyed") as caught:
            account.destroy(theirs)
        assert theirs in str(caught.value)
    assert account.kinds() == ["kek_retired"]
    left = account.moto.client.describe_key(KeyId=account.old)["KeyMetadata"]
    assert left["KeyState"] == "Enabled"


def test_one_that_an_attempt_before_may_have_destroyed_is(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(monkeypatch, "ScheduleKeyDeletion", SILENCE, done=True)
    with pytest.raises(Unanswered):
        account.destroy(account.old)
    assert account.kinds() == ["kek_retired"]
    account.moto.days_pass()
    for _ in range(2):
        assert "gone already" in account.destroy(account.old)
        assert account.kinds() == ["kek_retired", "kek_destroyed"]


def test_one_that_its_place_refused_to_destroy_was_not(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may not destroy it tries again with credentials of somewhere else."""
    barred = ClientError({"Error": {"Code": "AccessDeniedException"}}, "x")
    cut_off(monkeypatch, "ScheduleKeyDeletion", barred, done=False)
    with pytest.raises(NotAllowed):
        account.destroy(account.old)
    account.moto.destroy_key("old")
    with pytest.raises(CeremonyError, match="not noted as destroyed"):
        account.destroy(account.old)
    assert account.kinds() == ["kek_retired"]
