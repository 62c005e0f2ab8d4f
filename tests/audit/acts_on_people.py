"""One act of each kind on people: what is done, and where it shows.

"ada" administers and acts; "bea" is acted on, or acts on her own account.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.audit.acts import Driven
from tests.audit.stage import PASSWORD, Act, Stage, but
from tests.people.software_key import SoftwareKey
from votepyramid.audit.operators import acting_as
from votepyramid.people import authenticators, identities, service, sessions, setup
from votepyramid.people.errors import SecondFactorRefused, SignInRefused
from votepyramid.people.oidc.id_tokens import Identity
from votepyramid.people.second_factor import (
    begin_assertion,
    begin_registration,
    finish_assertion,
    finish_registration,
)
from votepyramid.people.sessions import Session
from votepyramid.people.signing_in import FREE_ATTEMPTS, sign_in

ORIGIN = "https://admin.example.org"
THERE = Identity("https://id.example.org", "4711", None)
WRONG = "ten blue bottles stood"
# What the next ceremony of a security key uses up, whatever becomes of it.
_CHALLENGES = frozenset({"people_challenges"})


def _no_administrator(stage: Stage) -> None:
    """Nobody can administer, so that there may be a first one."""
    tables = ("people_vouchers", "people_setup", "people")
    stage.do(*(f"DELETE FROM {table}" for table in tables))


def _first_link(stage: Stage) -> Act:
    _no_administrator(stage)
    return lambda: setup.first_setup_link(acting_as(stage.owner, "ada"))


def _first(stage: Stage) -> Act:
    _no_administrator(stage)
    link = setup.first_setup_link(stage.owner)
    return lambda: setup.accept_first(stage.pages, link.secret, "bea", PASSWORD)


def _invited(stage: Stage) -> Act:
    return lambda: setup.invite(stage.by("ada"), "bea", ["operator", "auditor"])


def _set_up(stage: Stage) -> Act:
    link = setup.invite(stage.by("ada"), "bea", ["viewer"])
    return lambda: setup.accept_invitation(stage.pages, link.secret, PASSWORD)


def _on_bea(act: Callable[..., Any], *more: Any) -> Callable[[Stage], Act]:
    """What an administrator does to an account."""

    def arrange(stage: Stage) -> Act:
        stage.add("bea")
        _enter(stage)
        but(SignInRefused, lambda: sign_in(stage.pages, "bea", WRONG))()
        return partial(act, stage.by("ada"), "bea", *more)

    return arrange


def _enter(stage: Stage) -> Session:
    """A session of bea's."""
    (bea,) = [one for one in service.everybody(stage.pages) if one.name == "bea"]
    secret = sessions.open(stage.pages, bea.id).secret
    return sessions.read(stage.pages, secret)


def _enabled(stage: Stage) -> Act:
    stage.add("bea")
    service.disable(stage.by("ada"), "bea")
    return lambda: service.enable(stage.by("ada"), "bea")


def _password(stage: Stage) -> Act:
    stage.add("bea")
    _enter(stage)
    return lambda: service.set_password(stage.by("bea"), "bea", WRONG)


def _revoked(stage: Stage) -> Act:
    stage.add("bea")
    session = _enter(stage).id
    return lambda: sessions.revoke(stage.by("ada"), "bea", session)


def _register(stage: Stage, session: Session, key: SoftwareKey) -> None:
    asked = begin_registration(stage.by("bea"), session, ORIGIN)
    finish_registration(stage.by("bea"), session, ORIGIN, "blue", key.create(asked))


def _registered(stage: Stage) -> Act:
    stage.add("bea")
    session, key = _enter(stage), SoftwareKey(ORIGIN)
    return lambda: _register(stage, session, key)


def _removed(stage: Stage) -> Act:
    _registered(stage)()
    return lambda: authenticators.remove_for(stage.by("ada"), "bea", "blue")


def _bound(stage: Stage) -> Act:
    stage.add("bea")
    session = _enter(stage)
    return lambda: identities.bind(stage.by("bea"), session, THERE)


def _unbound(stage: Stage) -> Act:
    _bound(stage)()
    return lambda: identities.remove_for(stage.by("ada"), "bea", THERE.issuer)


def _locked_out(stage: Stage) -> Act:
    """The attempt is counted first; looking at it and locking come after."""
    stage.add("bea")
    guess = but(SignInRefused, lambda: sign_in(stage.pages, "bea", WRONG))
    for _ in range(FREE_ATTEMPTS - 1):
        guess()

    def last_guess() -> None:
        # As if the wait of an earlier one were over.
        stage.do(
            "UPDATE people SET locked_until = clock_timestamp() "
            "WHERE locked_until IS NOT NULL"
        )
        guess()

    return last_guess


def _copied(stage: Stage) -> Act:
    stage.add("bea")
    session, key = _enter(stage), SoftwareKey(ORIGIN, count=9)
    _register(stage, session, key)

    def show() -> None:
        asked = begin_assertion(stage.by("bea"), session, ORIGIN)
        key.count = 1
        finish_assertion(stage.by("bea"), session, ORIGIN, key.get(asked))

    return but(SecondFactorRefused, show)


PEOPLE = {
    "first_setup_link_made": Driven("people_setup", _first_link),
    "first_administrator_set_up": Driven("people", _first),
    "person_invited": Driven("people", _invited),
    "person_invited_again": Driven("people_setup", _on_bea(setup.invite_again)),
    "person_set_up": Driven("people", _set_up),
    "person_roles_changed": Driven("people", _on_bea(service.set_roles, ["operator"])),
    "person_disabled": Driven("people", _on_bea(service.disable)),
    "person_enabled": Driven("people", _enabled),
    "person_unlocked": Driven("people", _on_bea(service.unlock)),
    "person_password_set": Driven("people", _password),
    "person_session_revoked": Driven("people_sessions", _revoked),
    "person_sessions_revoked": Driven("people_sessions", _on_bea(sessions.revoke_all)),
    "authenticator_registered": Driven(
        "people_authenticators", _registered, _CHALLENGES
    ),
    "authenticator_removed": Driven("people_authenticators", _removed),
    "identity_bound": Driven("people_identities", _bound),
    "identity_removed": Driven("people_identities", _unbound),
    "person_locked_out": Driven("people", _locked_out, frozenset({"people"})),
    # It describes a refusal: what it would change is the challenge, before.
    "authenticator_count_went_back": Driven("audit_events", _copied, _CHALLENGES),
}
