"""Signing in at an OpenID provider, with a real Chromium: there and back.

The provider is another site for the browser, and asks who somebody is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.admin_ui.annex import GO, Annex, enter, leave, pass_by, start_with
from tests.admin_ui.browsing import Browsing
from tests.admin_ui.conftest import PASSPHRASE, Office, add_person
from tests.admin_ui.test_second_factor import SHOW, Stick, register
from tests.support import openid
from tests.support.databases import Database
from tests.support.needs import needs
from tests.support.processes import start_admin, stopping
from votepyramid.audit.operators import acting_as
from votepyramid.db import make_engine
from votepyramid.people import identities, service, setup

pytestmark = needs("chromium")


@pytest.fixture(scope="module")
def annex(office: Office, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Annex]:
    with openid.running() as there:
        folder = tmp_path_factory.mktemp("annex")
        admin = start_with(office, office.engine.database, folder, there)
        with stopping(admin):
            yield Annex(office, admin, there)


def test_a_person_sets_up_and_signs_in_elsewhere(annex: Annex) -> None:
    visitor = annex.add("else-ada", "viewer")
    visitor.press("Sign out")
    visitor.go("/elections/demo?x=1")
    assert visitor.heading == "Sign in"
    assert visitor.violations() == []
    pass_by(visitor, GO)
    assert visitor.path == "/elections/demo?x=1"
    # Going back leads to where one was, not there once more.
    visitor.page.go_back()
    assert visitor.heading == "Sign in"


def test_the_cookies_of_the_way(annex: Annex) -> None:
    visitor = annex.visitor()
    visitor.go("/sign-in")
    leave(visitor, GO)
    (cookie,) = visitor.page.context.cookies(visitor.url)
    assert cookie["name"] == "votepyramid-admin-oidc"
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax"
    enter(visitor, "nobody")
    # Whose is used up is taken away with the next that is.
    visitor = annex.add("else-bea", "viewer")
    (cookie,) = visitor.page.context.cookies(visitor.url)
    assert cookie["name"] == "votepyramid-admin"


def test_the_page_in_between(annex: Annex) -> None:
    visitor = annex.visitor()
    # Where nothing comes of the provider's address, it stays and can be looked at.
    visitor.page.route(
        f"{annex.there.issuer}/authorize**", lambda route: route.fulfill(status=204)
    )
    visitor.go("/sign-in")
    visitor.page.get_by_role("button", name=GO).click()
    visitor.page.get_by_role("heading", name="On to Our staff").wait_for()
    assert visitor.violations() == []
    link = visitor.page.get_by_role("link", name="Go there now")
    assert (link.get_attribute("href") or "").startswith(annex.there.issuer)


def test_the_first_administrator_sets_up_elsewhere(
    office: Office, annex: Annex, database: Database, tmp_path: Path
) -> None:
    owner = make_engine(database.owner_url, pool_size=1)
    link = setup.first_setup_link(acting_as(owner, "tests"))
    admin = start_with(office, database, tmp_path, annex.there)
    with stopping(admin):
        visitor = office.browsing.visitor(admin.url)
        visitor.go(f"/set-up#{link.secret}")
        assert visitor.violations() == []
        visitor.fill(name="Not A Name")
        visitor.press(GO)
        assert "a name is" in visitor.page.get_by_role("alert").inner_text().lower()
        visitor.fill(name="ada")
        leave(visitor, GO)
        enter(visitor, "4711")
        assert visitor.path == "/"
        (ada,) = service.everybody(owner)
        assert ada.roles == ("administrator",) and not ada.passphrase
    owner.dispose()


def test_the_second_factor_comes_after_it(annex: Annex) -> None:
    visitor = annex.add("else-cyd", "administrator")
    Stick(visitor)
    register(visitor)
    visitor.press("Sign out")
    visitor.go("/people")
    pass_by(visitor, GO)
    assert visitor.heading == SHOW
    visitor.go("/account")
    assert visitor.heading == SHOW
    visitor.go("/sign-in/second-factor?next=/people")
    visitor.press("Use the security key")
    assert visitor.heading == "People"


def test_a_dangerous_act_asks_there_again(annex: Annex) -> None:
    visitor = annex.add("else-dot", "viewer")
    annex.age("else-dot")
    visitor.go("/account/keys/new")
    assert visitor.heading == "Sign in again"
    assert visitor.page.locator("[name=passphrase]").count() == 0
    assert visitor.violations() == []
    # Though signed in there, one is asked.
    leave(visitor, GO)
    enter(visitor, "else-dot")
    assert visitor.path == "/account/keys/new"
    # And has to be the same person.
    annex.add("else-kim", "administrator")
    annex.age("else-dot")
    for who, says in (("else-kim", "another account"), ("x", "no account")):
        visitor.go("/account/keys/new")
        leave(visitor, GO)
        enter(visitor, who)
        assert says in visitor.page.locator("main").inner_text().lower()
    visitor.go("/account/keys/new")
    assert visitor.heading == "Sign in again"


def test_who_was_let_in_without_being_asked_is_asked_later(annex: Annex) -> None:
    visitor = annex.add("else-lea", "viewer")
    annex.there.since = 3600
    try:
        visitor.press("Sign out")
        pass_by(visitor, GO)
    finally:
        annex.there.since = 0
    visitor.go("/account/keys/new")
    assert visitor.heading == "Sign in again"


def test_without_a_time_nothing_dangerous_is_done(annex: Annex) -> None:
    annex.there.tells_time = False
    try:
        visitor = annex.add("else-eve", "viewer")
        visitor.go("/account/keys/new")
        assert visitor.heading == "Sign in again"
        leave(visitor, GO)
        enter(visitor, "else-eve")
        said = visitor.page.locator("main").inner_text()
        assert "does not say when you signed in" in said
        assert visitor.violations() == []
        visitor.go("/account/keys/new")
        assert visitor.heading == "Sign in again"
    finally:
        annex.there.tells_time = True


def test_an_account_is_bound_and_freed(annex: Annex) -> None:
    add_person(annex.office.engine.database, "else-fay", "viewer")
    visitor = annex.visitor()
    visitor.sign_in("else-fay", PASSPHRASE)
    visitor.go("/account")
    leave(visitor, "Bind to Our staff")
    enter(visitor, "4713")
    assert visitor.path == "/account"
    row = visitor.page.get_by_role("row", name=annex.there.issuer)
    assert "4713" in row.inner_text()
    assert visitor.violations() == []
    assert visitor.page.get_by_role("button", name="Bind to Our staff").count() == 0
    visitor.press("Sign out")
    visitor.go("/account")
    pass_by(visitor, GO)
    assert visitor.path == "/account"
    visitor.press(f"Remove the identity at {annex.there.issuer}")
    assert visitor.page.get_by_role("button", name="Bind to Our staff").count() == 1
    visitor.press("Sign out")
    pass_by(visitor, GO)
    assert visitor.heading == "There is no account for you"


def test_the_only_way_in_is_kept_until_there_is_a_passphrase(annex: Annex) -> None:
    visitor = annex.add("else-gil", "viewer")
    visitor.go("/account")
    remove = f"Remove the identity at {annex.there.issuer}"
    visitor.press(remove)
    assert "only way to sign in" in visitor.page.get_by_role("alert").inner_text()
    visitor.fill(passphrase=PASSPHRASE, repeated=PASSPHRASE)
    visitor.press("Choose")
    visitor.press(remove)
    visitor.press("Sign out")
    visitor.sign_in("else-gil", PASSPHRASE)
    assert visitor.path == "/"


@pytest.mark.parametrize("disabled", [False, True])
def test_who_has_no_account_is_told_what_to_do(annex: Annex, disabled: bool) -> None:
    who = "else-hal" if disabled else "a stranger"
    if disabled:
        annex.add(who, "viewer")
        service.disable(acting_as(annex.office.people, "tests"), who)
    visitor = annex.visitor()
    visitor.go("/sign-in")
    leave(visitor, GO)
    enter(visitor, who)
    assert visitor.heading == "There is no account for you"
    said = visitor.page.locator("main").inner_text()
    assert "set-up link" in said and "administrator" in said
    assert visitor.violations() == []
    visitor.go("/")
    assert visitor.heading == "Sign in"


def test_an_administrator_removes_it(annex: Annex) -> None:
    other = annex.add("else-ida", "viewer")
    visitor = annex.visitor()
    visitor.sign_in("administrator", PASSPHRASE)
    visitor.go("/people/else-ida")
    assert visitor.violations() == []
    visitor.press(f"Remove the identity at {annex.there.issuer}")
    assert "invited" in visitor.heading
    assert identities.listed(annex.office.people, "else-ida") == []
    other.go("/")
    assert other.heading == "Sign in"


def test_nobody_is_signed_in_by_a_link_of_another(annex: Annex) -> None:
    """Login CSRF: the answer to a stranger's way, opened in one's own browser."""
    annex.add("else-jan", "viewer")
    stranger = httpx2.Client(base_url=annex.admin.url)
    ours = {"Origin": annex.admin.url}
    page = stranger.post("/sign-in/provider", data={"next": "/work"}, headers=ours)
    back = httpx2.post(onward(page.text), data={"who": "else-jan"})
    address = back.headers["location"]
    victim = annex.visitor()
    victim.page.goto(address)
    assert victim.heading == "The sign-in did not succeed"
    assert victim.page.context.cookies(victim.url) == []
    # Nor is anybody by another site that sends them there.
    for origin in ("https://elsewhere.example", annex.there.issuer):
        answer = httpx2.post(
            f"{annex.admin.url}/sign-in/provider",
            data={"next": "/"},
            headers={"Origin": origin},
        )
        assert answer.status_code == 403
    # Who went there comes back, once.
    assert stranger.get(address).headers["location"].endswith("/work")
    assert stranger.get(address).status_code == 403


def onward(page: str) -> str:
    """Where the page in between leads."""
    return page.split("url=")[1].split('"')[0].replace("&amp;", "&")


def test_answers_that_make_no_sense(annex: Annex) -> None:
    for query, status in (
        ("", 403),
        ("?state=x&code=y", 403),
        ("?state=x&state=y", 400),
        (f"?code={'x' * 5000}", 400),
        ("?error=%3Cscript%3E&state=x", 403),
    ):
        answer = httpx2.get(f"{annex.admin.url}/sign-in/callback{query}")
        assert answer.status_code == status, query
        assert "<script>" not in answer.text
    for query, cookie in (
        ("?state=%ff", b"x"),
        ("?state=x", b"\xff"),
        ("", b"\xc3\xa9"),
    ):
        answer = httpx2.get(
            f"{annex.admin.url}/sign-in/callback{query}",
            headers={b"Cookie": b"votepyramid-admin-oidc=" + cookie},
        )
        assert 400 <= answer.status_code < 500, (query, cookie)
    for next_ in ("/\0", "/a\r\nX: y", "//elsewhere.example", "/" + "x" * 5000):
        answer = httpx2.post(
            f"{annex.admin.url}/sign-in/provider",
            data={"next": next_},
            headers={"Origin": annex.admin.url},
        )
        assert answer.status_code == (400 if len(next_) > 5000 else 200), next_
    assert httpx2.get(f"{annex.admin.url}/sign-in?next=%ff").status_code == 200
    # Where no provider is named there is nothing to come back from.
    answer = httpx2.get(f"{annex.office.url}/sign-in/callback")
    assert answer.status_code == 404


def test_a_provider_that_is_away(
    office: Office, browsing: Browsing, tmp_path: Path
) -> None:
    with openid.running() as there:
        admin = start_with(office, office.engine.database, tmp_path, there)
    with stopping(admin):
        visitor = browsing.visitor(admin.url)
        visitor.go("/sign-in")
        with visitor.page.expect_navigation() as found:
            visitor.page.get_by_role("button", name=GO).click()
        assert found.value.status == 503
        assert visitor.heading == "Our staff cannot be asked"
        assert "passphrase" in visitor.page.locator("main").inner_text()
        assert visitor.violations() == []
        visitor.sign_in("viewer", PASSPHRASE)
        assert visitor.path == "/"
        admin.wait_for_log("identity_provider_away")


def test_behind_tls_the_cookie_is_of_one_host(
    office: Office, annex: Annex, tmp_path: Path
) -> None:
    known = annex.there.register("https://admin.example.org")
    admin = start_admin(
        office.engine.env,
        office.engine.database,
        tmp_path,
        admin_origin="https://admin.example.org",
        oidc_issuer=annex.there.issuer,
        oidc_client_id=known.id,
    )
    with stopping(admin):
        answer = httpx2.post(
            f"{admin.url}/sign-in/provider",
            data={"next": "/"},
            headers={"Origin": "https://admin.example.org"},
        )
    assert answer.status_code == 200
    name, *how = answer.headers["set-cookie"].split("; ")
    assert name.startswith("__Host-votepyramid-oidc=")
    assert {"HttpOnly", "Path=/", "secure", "SameSite=Lax"} <= set(how)
    assert not any(one.startswith("Domain") for one in how)
    # The address to come back to is exactly ours.
    query = parse_qs(urlsplit(onward(answer.text)).query)
    assert query["redirect_uri"] == ["https://admin.example.org/sign-in/callback"]
