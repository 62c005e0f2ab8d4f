"""Who may take a security key away."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from tests.people.test_second_factor import Enter, enter
from votepyramid.people import authenticators, service, sessions
from votepyramid.people.errors import (
    LastAuthenticator,
    NoSuchAuthenticator,
    NoSuchPerson,
    SecondFactorDue,
    SessionEnded,
)

__all__ = ["enter"]


def names(engine: Engine, person: str) -> list[str]:
    return [one.name for one in authenticators.listed(engine, person)]


def test_ones_own_with_the_key_shown_here(enter: Enter, engine: Engine) -> None:
    ada, other = enter("ada"), enter("ada")
    ada.register("blue")
    ada.register("green")
    with pytest.raises(SecondFactorDue):
        authenticators.remove(engine, other.session, "blue")
    with pytest.raises(NoSuchAuthenticator):
        authenticators.remove(engine, ada.session, "red")
    authenticators.remove(engine, ada.session, "blue")
    assert names(engine, "ada") == ["green"]
    # Who has the lost key may be in the other session.
    assert ada.session.name == "ada"
    with pytest.raises(SessionEnded):
        _ = other.session


def test_the_last_of_an_administrator_takes_another_one(
    enter: Enter, engine: Engine
) -> None:
    ada, bob = enter("ada"), enter("bob")
    ada.register()
    bob.register()
    with pytest.raises(LastAuthenticator, match="register another first"):
        authenticators.remove(engine, ada.session, "blue")
    assert names(engine, "ada") == ["blue"]
    authenticators.remove(engine, bob.session, "blue")
    assert names(engine, "bob") == []
    # Roles as they are now, not as the session had them.
    bob.register()
    session = bob.session
    service.set_roles(engine, "bob", ["administrator"])
    with pytest.raises(LastAuthenticator):
        authenticators.remove(engine, session, "blue")
    assert authenticators.remove_for(engine, "ada", "blue") == 1
    assert names(engine, "ada") == []
    with pytest.raises(SessionEnded):
        _ = ada.session
    assert authenticators.missing(enter("ada").session)


def test_what_is_not_there_ends_no_session(enter: Enter, engine: Engine) -> None:
    ada = enter("ada")
    ada.register()
    with pytest.raises(NoSuchAuthenticator, match="registered"):
        authenticators.remove_for(engine, "ada", "red")
    with pytest.raises(NoSuchPerson):
        authenticators.remove_for(engine, "nobody", "blue")
    with pytest.raises(NoSuchPerson):
        authenticators.listed(engine, "nobody")
    assert len(sessions.listed(engine, "ada")) == 1
