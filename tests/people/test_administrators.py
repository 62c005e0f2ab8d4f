"""There is always an administrator, and who sees people."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import Engine

from tests.people.conftest import add, at_once, wait_for_locks
from tests.support.databases import Database
from votepyramid.audit.operators import acting_as
from votepyramid.people import service, setup
from votepyramid.people.errors import LastAdministrator, NoSuchPerson, RolesInvalid


def roles(engine: Engine) -> dict[str, tuple[str, ...]]:
    return {one.name: one.roles for one in service.everybody(engine)}


def test_the_last_administrator_stays_one(engine: Engine) -> None:
    add(engine, "ada", "administrator", "auditor")
    # Whoever cannot sign in cannot take over.
    setup.invite(engine, "invited", ["administrator"])
    add(engine, "gone", "administrator")
    service.disable(engine, "gone")
    for act in (
        partial(service.disable, engine, "ada"),
        partial(service.set_roles, engine, "ada", ["auditor"]),
    ):
        with pytest.raises(LastAdministrator, match="make another one first"):
            act()
    service.set_roles(engine, "ada", ["administrator"])
    add(engine, "bob", "administrator")
    service.set_roles(engine, "ada", ["viewer"])
    assert roles(engine)["ada"] == ("viewer",)


@pytest.mark.parametrize("way", ["disable", "roles", "both"])
def test_two_administrators_cannot_remove_each_other_at_once(
    engine: Engine, database: Database, sql: Callable[..., Any], way: str
) -> None:
    add(engine, "ada", "administrator")
    add(engine, "bob", "administrator")
    disable = [partial(service.disable, engine, name) for name in ("ada", "bob")]
    change = [
        partial(service.set_roles, engine, name, ["viewer"]) for name in ("ada", "bob")
    ]
    acts: dict[str, list[Callable[[], Any]]] = {
        "disable": [*disable],
        "roles": [*change],
        "both": [disable[0], change[1]],
    }
    # Both get as far as they can before either may write.
    with psycopg.connect(database.owner_url) as db:
        db.execute("LOCK TABLE people IN SHARE MODE")
        with ThreadPoolExecutor(1) as beside:
            both = beside.submit(at_once, acts[way])
            wait_for_locks(sql, 2)
            db.rollback()
            done = both.result()
    assert sum(isinstance(one, LastAdministrator) for one in done) == 1
    able = [
        one
        for one in service.everybody(engine)
        if "administrator" in one.roles and not one.disabled
    ]
    assert len(able) == 1


def test_acts_are_logged_with_who_did_them(
    engine: Engine, logged: list[dict[str, Any]]
) -> None:
    add(engine, "ada", "administrator")
    add(engine, "bob", "viewer")
    logged.clear()
    by = acting_as(engine, "ada")
    service.set_roles(by, "bob", ["operator", "auditor"])
    service.disable(by, "bob")
    service.enable(by, "bob")
    service.unlock(by, "bob")
    acts = ("roles_changed", "disabled", "enabled", "unlocked")
    assert [line["event"] for line in logged] == [f"person_{act}" for act in acts]
    assert {(line["by"], line["person"]) for line in logged} == {("ada", "bob")}
    assert logged[0]["before"] == ["viewer"]
    assert logged[0]["after"] == ["operator", "auditor"]


def test_what_is_refused_changes_nothing(engine: Engine) -> None:
    add(engine, "ada", "administrator")
    for act in (service.disable, service.enable, service.unlock):
        for name in ("nobody", "nul\0", "\udc80"):
            with pytest.raises(NoSuchPerson, match="people list"):
                act(engine, name)
    with pytest.raises(RolesInvalid):
        service.set_roles(engine, "ada", ["root"])
    assert roles(engine) == {"ada": ("administrator",)}


@pytest.mark.parametrize("table", ["people", "people_sessions", "people_setup"])
def test_no_role_of_another_process_sees_people(database: Database, table: str) -> None:
    for url in (
        database.app_url,
        database.sequencer_url,
        database.keeper_url,
        database.closer_url,
        database.exporter_url,
    ):
        with (
            psycopg.connect(url) as db,
            pytest.raises(errors.InsufficientPrivilege),
        ):
            db.execute(f"SELECT 1 FROM {table}")


@pytest.mark.parametrize(
    ("name", "given"),
    [("Ada", ["viewer"]), ("", ["viewer"]), ("ada", []), ("ada", ["root"])],
)
def test_the_table_refuses_what_the_service_does(
    database: Database, name: str, given: list[str]
) -> None:
    with (
        psycopg.connect(database.owner_url) as db,
        pytest.raises(errors.CheckViolation),
    ):
        db.execute(
            "INSERT INTO people (name, roles) VALUES (%s, %s::text[])", (name, given)
        )
