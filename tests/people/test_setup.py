"""One-time links: for the first administrator, and for the invited."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.people.conftest import PASSWORD, add, at_once
from votepyramid.people import service, sessions, setup
from votepyramid.people.errors import (
    NameInvalid,
    NameTaken,
    NoSuchPerson,
    PasswordRefused,
    PersonDisabled,
    RolesInvalid,
    SetupRefused,
)
from votepyramid.people.setup import (
    accept_first,
    accept_invitation,
    first_setup_link,
    invite,
    invite_again,
)
from votepyramid.people.signing_in import sign_in


def test_the_first_link_makes_the_first_administrator(engine: Engine) -> None:
    link = first_setup_link(engine)
    assert link.secret not in repr(link)
    accept_first(engine, link.secret, "ada", PASSWORD)
    assert sign_in(engine, "ada", PASSWORD).roles == ("administrator",)
    with pytest.raises(SetupRefused, match="ask for a new one"):
        accept_first(engine, link.secret, "eve", PASSWORD)
    with pytest.raises(SetupRefused, match="already"):
        first_setup_link(engine)


def test_a_mistake_does_not_use_the_link_up(engine: Engine) -> None:
    link = first_setup_link(engine).secret
    with pytest.raises(NameInvalid):
        accept_first(engine, link, "Ada Lovelace", PASSWORD)
    with pytest.raises(PasswordRefused):
        accept_first(engine, link, "ada", "short")
    accept_first(engine, link, "ada", PASSWORD)


def test_a_link_expires_by_the_databases_clock(
    engine: Engine, sql: Callable[..., Any]
) -> None:
    first = first_setup_link(engine).secret
    invited = invite(engine, "bob", ["viewer"]).secret
    assert setup.for_whom(engine, first) is None
    assert setup.for_whom(engine, invited) == "bob"
    sql("UPDATE people_setup SET expires_at = clock_timestamp()")
    with pytest.raises(SetupRefused):
        accept_first(engine, first, "ada", PASSWORD)
    with pytest.raises(SetupRefused):
        accept_invitation(engine, invited, PASSWORD)
    assert [one.set_up for one in service.everybody(engine)] == [False]


def test_a_newer_link_ends_the_older(engine: Engine) -> None:
    old = first_setup_link(engine).secret
    new = first_setup_link(engine).secret
    with pytest.raises(SetupRefused):
        accept_first(engine, old, "ada", PASSWORD)
    invited = invite(engine, "bob", ["viewer"]).secret
    again = invite_again(engine, "bob").secret
    with pytest.raises(SetupRefused):
        accept_invitation(engine, invited, PASSWORD)
    accept_invitation(engine, again, PASSWORD)
    accept_first(engine, new, "ada", PASSWORD)


@pytest.mark.parametrize("spoil", [str.lower, "{}=".format, " {}".format, "ä{}".format])
def test_a_secret_has_one_spelling(engine: Engine, spoil: Callable[[str], str]) -> None:
    link = first_setup_link(engine).secret
    with pytest.raises(SetupRefused):
        accept_first(engine, spoil(link), "ada", PASSWORD)


def test_two_first_set_ups_at_once_make_one_administrator(engine: Engine) -> None:
    link = first_setup_link(engine).secret
    done = at_once(
        [partial(accept_first, engine, link, f"p{n}", PASSWORD) for n in range(4)]
    )
    assert done.count(None) == 1
    assert len(service.everybody(engine)) == 1


def test_the_first_link_is_void_once_there_is_an_administrator(engine: Engine) -> None:
    first = first_setup_link(engine).secret
    add(engine, "ada", "administrator")
    with pytest.raises(SetupRefused, match="already"):
        accept_first(engine, first, "eve", PASSWORD)
    assert [one.name for one in service.everybody(engine)] == ["ada"]


def test_a_link_serves_its_own_purpose(engine: Engine) -> None:
    first = first_setup_link(engine).secret
    invited = invite(engine, "bob", ["viewer"]).secret
    with pytest.raises(SetupRefused):
        accept_first(engine, invited, "eve", PASSWORD)
    with pytest.raises(SetupRefused):
        accept_invitation(engine, first, PASSWORD)


def test_any_link_is_accepted_with_the_name_it_is_for(engine: Engine) -> None:
    first = first_setup_link(engine).secret
    assert setup.accept(engine, first, "ada", PASSWORD) == "ada"
    invited = invite(engine, "bob", ["viewer"]).secret
    with pytest.raises(SetupRefused, match="is for bob: give that name"):
        setup.accept(engine, invited, "eve", PASSWORD)
    assert setup.accept(engine, invited, "bob", PASSWORD) == "bob"
    assert [(one.name, one.set_up) for one in service.everybody(engine)] == [
        ("ada", True),
        ("bob", True),
    ]
    with pytest.raises(SetupRefused, match="ask for a new one"):
        setup.accept(engine, invited, "bob", PASSWORD)


def test_who_is_invited_has_the_roles_asked_for(engine: Engine) -> None:
    add(engine, "bob", "auditor", "viewer", "auditor")
    (bob,) = service.everybody(engine)
    assert (bob.name, bob.roles, bob.set_up) == ("bob", ("viewer", "auditor"), True)


def test_invitations_that_are_refused(engine: Engine) -> None:
    add(engine, "bob", "viewer")
    with pytest.raises(NameTaken, match="--again"):
        invite(engine, "bob", ["operator"])
    for name in ("", "Bob", "bob ", "-bob", "b" * 65, "bob\n", "b\u00f6b"):
        with pytest.raises(NameInvalid):
            invite(engine, name, ["viewer"])
    for roles in ([], ["root"], ["viewer", "root"]):
        with pytest.raises(RolesInvalid, match="viewer, operator"):
            invite(engine, "carol", roles)
    with pytest.raises(NoSuchPerson):
        invite_again(engine, "carol")


def test_a_new_link_replaces_a_lost_passphrase(engine: Engine) -> None:
    add(engine, "bob", "viewer")
    opened = sessions.open(engine, sign_in(engine, "bob", PASSWORD).id)
    again = invite_again(engine, "bob").secret
    assert sessions.read(engine, opened.secret).name == "bob"
    accept_invitation(engine, again, "ten blue bottles stood")
    assert sessions.listed(engine, "bob") == []
    assert sign_in(engine, "bob", "ten blue bottles stood").name == "bob"


def test_a_disabled_person_cannot_set_up(engine: Engine) -> None:
    link = invite(engine, "bob", ["viewer"]).secret
    service.disable(engine, "bob")
    with pytest.raises(SetupRefused):
        accept_invitation(engine, link, PASSWORD)
    with pytest.raises(PersonDisabled, match="people enable bob"):
        invite_again(engine, "bob")


def test_no_secret_is_stored_or_logged(
    engine: Engine, sql: Callable[..., Any], logged: list[dict[str, Any]]
) -> None:
    first = first_setup_link(engine).secret
    accept_first(engine, first, "ada", PASSWORD)
    invited = invite(engine, "bob", ["viewer"]).secret
    accept_invitation(engine, invited, PASSWORD)
    opened = sessions.open(engine, sign_in(engine, "bob", PASSWORD).id).secret
    kept = [
        sql(f"SELECT {table}::text FROM {table}")
        for table in ("people", "people_setup", "people_sessions")
    ]
    for secret in (first, invited, opened, PASSWORD):
        assert secret not in str(kept) + str(logged)
    assert [line["event"] for line in logged] == [
        "first_setup_link_made",
        "first_administrator_set_up",
        "person_invited",
        "person_set_up",
        "person_signed_in",
    ]
