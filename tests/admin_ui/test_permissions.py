"""Every view, found by itself, as every role and as nobody: allowed or refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from pyramid.config import Configurator

from tests.admin_ui.conftest import PASSPHRASE, ROLES, Office
from tests.admin_ui.test_pages import PAGES
from votepyramid.web.policy import ANYONE


@dataclass(frozen=True)
class View:
    """A view as it is declared; `page` tells whether it has a template."""

    pattern: str
    method: str
    permission: str
    page: bool

    @property
    def path(self) -> str:
        """An address of it; nothing has that name."""
        return re.sub(r"\{\w+(:[^}]+)?\}", _an_example, self.pattern)


def _an_example(found: re.Match[str]) -> str:
    # A choice that the pattern itself spells out.
    choice = re.fullmatch(r":(?:\(\?:)?([a-z]+)(?:\|.*)?", found[1] or "")
    return choice[1] if choice else "nothing"


def every_view() -> list[View]:
    config = Configurator()
    config.include("admin_ui.routes")
    config.commit()
    permissions, found = {}, []
    for entry in config.introspector.get_category("permissions") or ():
        for view in entry["related"]:
            permissions[view["derived_callable"]] = entry["introspectable"]["value"]
    routes = {r.name: r.pattern for r in config.get_routes_mapper().get_routes()}
    for entry in config.introspector.get_category("views") or ():
        view: Any = entry["introspectable"]
        if view["route_name"]:
            found.append(
                View(
                    routes[view["route_name"]],
                    view["request_methods"] or "GET",
                    permissions[view["derived_callable"]],
                    any(r.category_name == "templates" for r in entry["related"]),
                )
            )
    return found


# Who may do what; who may see a page is in test_pages.PAGES.
ACTS = {
    "work/find": ROLES,
    "work/act": ("operator", "administrator"),
    "work/order": ("administrator",),
    "work/all": ("operator", "administrator"),
    "work/all/order": ("administrator",),
    "orders/{order}/agree": ("administrator",),
    "orders/{order}/decline": ("administrator",),
    "orders/{order}/go-on": ("operator", "administrator"),
    "orders/{order}/stop": ("administrator",),
    "/new-election": ("administrator",),
    "elections/{election}/statement": ROLES,
    "elections/{election}/acts/{act}": ("administrator",),
    "elections/{election}/orders/{order}": ("administrator",),
    "/audit/checks": ("administrator", "auditor"),
    "/audit/exports": ("administrator", "auditor"),
    "/audit/exports/{export}/download": ("administrator", "auditor"),
    "/audit/exports/{export}/remove": ("administrator",),
    "/account/identity": ROLES,
    "/account/identity/remove": ROLES,
    "/console/allowed": ROLES,
    "/console/operator": ("operator", "administrator", "auditor"),
    "/account/keys/new": ROLES,
    "/account/keys/remove": ROLES,
    "/account/passphrase": ROLES,
    "/account/session": ROLES,
    "/people": ("administrator",),
    "/people/{name}/{act}": ("administrator",),
    "/sign-in/again": ROLES,
    "/sign-in/again/provider": ROLES,
    "/sign-in/second-factor": ROLES,
}
# Pages of what is not always there: test_second_factor, test_work, test_acts and
# test_console look at them.
SECOND_FACTOR = "/sign-in/second-factor"
WORKFLOW = "work/{workflow_id:.+}"
ORDER = "orders/{order}"
CONSOLE = "/console"
# Asked by a proxy, which leads nobody anywhere by itself.
ASKED = ("/console/allowed", "/console/operator")
VIEWS = every_view()
# Signing out, which ends what the others need, is in test_signing_in.
CLOSED = [v for v in VIEWS if v.permission != ANYONE and v.pattern != "/sign-out"]


def allowed(view: View) -> tuple[str, ...]:
    """Roles, as these tests have them. A view that they do not know is a KeyError."""
    if view.method == "POST" or not view.page:
        return ACTS[view.pattern]
    if view.pattern in (SECOND_FACTOR, WORKFLOW, ORDER, CONSOLE):
        return ROLES
    parts = re.split(r"\{\w+:?(.*?)\}", view.pattern.removeprefix("/"))
    parts[::2] = map(re.escape, parts[::2])
    parts[1::2] = [own or "[^/]+" for own in parts[1::2]]
    pattern = "".join(parts)
    pages = {path[1:].partition("?")[0]: roles for path, roles in PAGES.items()}
    (roles,) = {pages[path] for path in pages if re.fullmatch(pattern, path)}
    return roles


@pytest.fixture(scope="module")
def signed_in(office: Office) -> dict[str, httpx2.Client]:
    """A client of each role, and one of nobody, named ''."""
    clients = {}
    for role in ("", *ROLES):
        clients[role] = httpx2.Client(
            base_url=office.url, headers={"Origin": office.url}
        )
        if role:
            form = {"name": role, "passphrase": PASSPHRASE, "next": "/"}
            assert clients[role].post("/sign-in", data=form).status_code == 303
    return clients


def test_views_are_found() -> None:
    assert len(CLOSED) > 15
    assert {view.method for view in CLOSED} >= {"GET", "POST"}


@pytest.mark.parametrize("view", CLOSED, ids=lambda v: f"{v.method} {v.pattern}")
def test_roles(view: View, signed_in: dict[str, httpx2.Client]) -> None:
    for role, client in signed_in.items():
        answer = client.request(view.method, view.path)
        if not role and view.method == "GET" and view.pattern not in ASKED:
            assert answer.status_code == 303
            assert urlsplit(answer.headers["location"]).path == "/sign-in"
        elif not role:
            assert answer.status_code == 401
        else:
            assert (answer.status_code != 403) == (role in allowed(view)), role
            assert answer.status_code < 500, role
