"""Two accounts of whom one let the other in are not two people, for a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.people.conftest import PASSWORD, add
from tests.people.test_second_factor import Visit
from votepyramid.audit.operators import acting_as
from votepyramid.people import authenticators, service, sessions, setup, vouching

DAY = timedelta(hours=24)
ADMINISTRATOR = ["administrator"]


def by(engine: Engine, name: str) -> Engine:
    return acting_as(engine, name)


def behind(engine: Engine, one: str, other: str, within: timedelta = DAY) -> list[str]:
    """The same whoever is named first."""
    with engine.connect() as connection:
        found = vouching.behind_both(connection, one, other, within)
        assert found == vouching.behind_both(connection, other, one, within)
    return found


def let_in(engine: Engine, voucher: str, name: str) -> None:
    """Invite somebody and set them up, as whoever sees the link can."""
    link = setup.invite(by(engine, voucher), name, ADMINISTRATOR)
    setup.accept_invitation(engine, link.secret, PASSWORD)


def later(sql: Callable[..., Any], hours: int) -> None:
    sql(
        "UPDATE people_vouchers SET vouched_at = vouched_at - %s",
        timedelta(hours=hours),
    )


@pytest.fixture
def two(engine: Engine) -> Engine:
    """Ada and bea, whom a command let in."""
    for name in ("ada", "bea"):
        add(by(engine, "the office"), name, "administrator")
    assert behind(engine, "ada", "bea") == []
    return engine


def test_who_invites_could_be_both_for_a_time(
    two: Engine, sql: Callable[..., Any]
) -> None:
    let_in(two, "ada", "eve")
    assert behind(two, "ada", "eve") == ["ada"]
    assert behind(two, "bea", "eve") == []
    assert behind(two, "ada", "eve", timedelta()) == []
    later(sql, 25)
    assert behind(two, "ada", "eve") == []
    setup.invite_again(by(two, "ada"), "eve")
    assert behind(two, "ada", "eve") == ["ada"]


def test_the_time_begins_when_the_link_is_used(
    two: Engine, sql: Callable[..., Any]
) -> None:
    link = setup.invite_again(by(two, "ada"), "bea")
    assert behind(two, "ada", "bea") == ["ada"]
    later(sql, 25)
    assert behind(two, "ada", "bea") == []
    setup.accept_invitation(two, link.secret, PASSWORD)
    assert behind(two, "ada", "bea") == ["ada"]


def test_whom_they_let_in_counts_with_them(two: Engine) -> None:
    let_in(two, "ada", "eve")
    let_in(two, "eve", "mia")
    assert behind(two, "ada", "mia") == ["ada"]
    # Nor do two help each other to be somebody else's.
    service.set_roles(by(two, "mia"), "eve", ["viewer"])
    service.set_roles(by(two, "mia"), "eve", ADMINISTRATOR)
    assert behind(two, "ada", "eve") == ["ada"]
    let_in(two, "ada", "ivy")
    assert behind(two, "ivy", "mia") == ["ada"]
    assert behind(two, "bea", "mia") == []


def _again(engine: Engine) -> None:
    setup.invite_again(engine, "bea")


def _made_one(engine: Engine) -> None:
    service.set_roles(engine, "bea", ["operator"])
    service.set_roles(engine, "bea", ["operator", "administrator"])


def _enabled(engine: Engine) -> None:
    service.disable(engine, "bea")
    service.enable(engine, "bea")


def _without_key(engine: Engine) -> None:
    bea = service.somebody(engine, "bea").id
    Visit(by(engine, "bea"), sessions.open(engine, bea).secret).register("blue")
    authenticators.remove_for(engine, "bea", "blue")


@pytest.mark.parametrize("act", [_again, _made_one, _enabled, _without_key])
def test_what_lets_somebody_in(two: Engine, act: Callable[[Engine], None]) -> None:
    act(by(two, "ada"))
    assert behind(two, "ada", "bea") == ["ada"]


def test_what_lets_nobody_in(two: Engine) -> None:
    ada = by(two, "ada")
    service.enable(ada, "bea")
    service.unlock(ada, "bea")
    service.set_roles(ada, "bea", ["administrator", "auditor"])
    service.set_roles(ada, "ada", ["viewer"])
    service.set_roles(ada, "ada", ADMINISTRATOR)
    assert behind(two, "ada", "bea") == []
