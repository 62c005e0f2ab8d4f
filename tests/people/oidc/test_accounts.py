"""Accounts and who people are at a real OpenID provider: bound, used, removed."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from tests.people.conftest import PASSWORD, add
from tests.people.oidc.conftest import Browser, Desk, us
from tests.support.openid import OpenIdProvider
from votepyramid.people import identities, service, sessions, setup
from votepyramid.people.errors import (
    IdentityBound,
    IdentityTaken,
    IdentityUnknown,
    LastAdministrator,
    LastWayIn,
    NoSuchIdentity,
    PersonDisabled,
    SetupRefused,
    SignInRefused,
    SignInUndated,
)
from votepyramid.people.oidc.requests import Asked
from votepyramid.people.signing_in import sign_in


def test_the_first_administrator_sets_up_without_a_passphrase(desk: Desk) -> None:
    engine = desk.engine
    desk.set_up(setup.first_setup_link(engine), "ada", "4711")
    (ada,) = service.everybody(engine)
    assert (ada.set_up, ada.passphrase, ada.roles) == (True, False, ("administrator",))
    assert desk.sign_in("4711").name == "ada"
    with pytest.raises(SignInRefused):
        sign_in(engine, "ada", PASSWORD)
    # She counts as one who can administer.
    with pytest.raises(SetupRefused, match="already"):
        setup.first_setup_link(engine)
    with pytest.raises(LastAdministrator):
        service.disable(engine, "ada")
    with pytest.raises(LastAdministrator):
        identities.remove_for(engine, "ada", desk.provider.client.issuer)


def test_an_invited_person_sets_up_without_a_passphrase(desk: Desk) -> None:
    link = setup.invite(desk.engine, "bob", ["auditor"])
    desk.set_up(link, "bob", "bob at the provider")
    assert desk.sign_in("bob at the provider").roles == ("auditor",)
    with pytest.raises(SetupRefused, match="used or expired"):
        desk.set_up(link, "bob", "another")
    with pytest.raises(SetupRefused, match="is for carol"):
        desk.set_up(setup.invite(desk.engine, "carol", ["viewer"]), "eve", "eve")


def test_a_public_client_signs_in_by_pkce_alone(
    engine: Engine, there: OpenIdProvider
) -> None:
    desk = Desk(engine, us(there, secret=""))
    desk.set_up(setup.first_setup_link(engine), "ada", "4711")
    assert desk.sign_in("4711").name == "ada"


def test_binding_and_removing(desk: Desk) -> None:
    engine, issuer = desk.engine, desk.provider.client.issuer
    add(engine, "ada", "administrator")
    me, other = desk.with_passphrase("ada"), desk.with_passphrase("ada")
    with pytest.raises(IdentityUnknown):
        desk.sign_in("4711")
    identities.bind(engine, me, desk.visit(Browser("4711"), Asked("bind")))
    (bound,) = identities.listed(engine, "ada")
    assert (bound.issuer, bound.subject, bound.last_used_at) == (issuer, "4711", None)
    again = desk.sign_in("4711")
    assert identities.listed(engine, "ada")[0].last_used_at is not None
    # Both ways hold.
    assert desk.with_passphrase("ada").name == again.name == "ada"
    with pytest.raises(IdentityBound):
        identities.bind(engine, me, desk.visit(Browser("4712"), Asked("bind")))
    identities.remove(engine, me, issuer)
    with pytest.raises(NoSuchIdentity):
        identities.remove(engine, me, issuer)
    with pytest.raises(IdentityUnknown):
        desk.sign_in("4711")
    # Only the session in which it was done is left.
    assert [one.id for one in sessions.listed(engine, "ada")] == [me.id]
    assert other.id != me.id


def test_an_identity_is_of_one_person(desk: Desk) -> None:
    engine = desk.engine
    for name in ("ada", "bob"):
        add(engine, name, "viewer")
    who = desk.visit(Browser("4711"), Asked("bind"))
    identities.bind(engine, desk.with_passphrase("ada"), who)
    with pytest.raises(IdentityTaken):
        identities.bind(engine, desk.with_passphrase("bob"), who)
    link = setup.invite(engine, "carol", ["viewer"])
    with pytest.raises(IdentityTaken):
        desk.set_up(link, "carol", "4711")
    # The link was not used up.
    desk.set_up(link, "carol", "4712")
    # An e-mail address, which all have in common there, binds nobody.
    with pytest.raises(IdentityUnknown):
        desk.sign_in("4713")


def test_the_only_way_in_is_kept(desk: Desk) -> None:
    engine, issuer = desk.engine, desk.provider.client.issuer
    add(engine, "ada", "administrator")
    desk.set_up(setup.invite(engine, "bob", ["viewer"]), "bob", "4711")
    with pytest.raises(LastWayIn):
        identities.remove(engine, desk.sign_in("4711"), issuer)
    assert desk.sign_in("4711").name == "bob"
    service.set_password(engine, "bob", PASSWORD)
    identities.remove(engine, desk.sign_in("4711"), issuer)
    assert desk.with_passphrase("bob").name == "bob"


def test_an_administrator_removes_the_only_way_in(desk: Desk) -> None:
    engine, issuer = desk.engine, desk.provider.client.issuer
    desk.set_up(setup.invite(engine, "bob", ["viewer"]), "bob", "4711")
    desk.sign_in("4711")
    assert identities.remove_for(engine, "bob", issuer) == 1
    (bob,) = service.everybody(engine)
    assert not bob.set_up
    with pytest.raises(NoSuchIdentity):
        identities.remove_for(engine, "bob", issuer)


def test_a_new_link_ends_the_ways_in_of_before(desk: Desk) -> None:
    engine = desk.engine
    add(engine, "ada", "administrator")
    desk.set_up(setup.invite(engine, "bob", ["viewer"]), "bob", "4711")
    setup.accept_invitation(engine, setup.invite_again(engine, "bob").secret, PASSWORD)
    with pytest.raises(IdentityUnknown):
        desk.sign_in("4711")
    desk.set_up(setup.invite_again(engine, "bob"), "bob", "4711")
    with pytest.raises(SignInRefused):
        sign_in(engine, "bob", PASSWORD)
    assert sessions.listed(engine, "bob") == []


def test_who_is_disabled_stays_out(desk: Desk) -> None:
    engine = desk.engine
    desk.set_up(setup.invite(engine, "bob", ["viewer"]), "bob", "4711")
    link = setup.invite_again(engine, "bob")
    known = setup.usable(engine, link.secret, "bob")
    service.disable(engine, "bob")
    # As somebody whom nobody knows.
    with pytest.raises(IdentityUnknown):
        desk.sign_in("4711")
    who = desk.visit(Browser("4712"), Asked("sign_in"))
    with pytest.raises(PersonDisabled):
        setup.accept_identity(engine, known, "bob", who)
    service.enable(engine, "bob")
    assert desk.sign_in("4711").name == "bob"


def test_a_session_is_as_recent_as_the_sign_in_there(
    desk: Desk, there: OpenIdProvider
) -> None:
    engine = desk.engine
    desk.set_up(setup.first_setup_link(engine), "ada", "4711")
    assert sessions.recent(desk.sign_in("4711"), 60)
    there.tells_time = False
    assert not sessions.recent(desk.sign_in("4711"), 60 * 60)
    with pytest.raises(SignInUndated, match="does not say when"):
        desk.visit(Browser("4711"), Asked("sign_in_again"))


def test_signing_in_again_is_asked_for_there(desk: Desk, there: OpenIdProvider) -> None:
    browser = Browser("4711")
    first = desk.visit(browser, Asked("sign_in"))
    # Signed in there as before, without being asked.
    second = desk.visit(browser, Asked("sign_in"))
    assert first.since is not None and second.since is not None
    assert second.since >= first.since
    assert len(there.asked) == 2
    assert desk.visit(browser, Asked("sign_in_again")).subject == "4711"
    # One that lets people in without asking is found out, once that is a while ago.
    there.heeds_prompt, there.since = False, 60
    with pytest.raises(SignInUndated, match="without asking you again"):
        desk.visit(browser, Asked("sign_in_again"))
