"""Security keys on the pages: Chromium's own, made of software, at the real ceremonies.

The key is a virtual authenticator (Web Authentication, Level 3, section 11).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx2
import pytest

from tests.admin_ui.browsing import Visitor
from tests.admin_ui.conftest import PASSPHRASE, Office
from tests.support.needs import needs
from tests.support.processes import Running, start_admin, stopping
from votepyramid.people import authenticators

pytestmark = needs("chromium")

SHOW = "Show your security key"


class Stick:
    """A security key in a visitor's computer, touched whenever it is asked for."""

    def __init__(self, visitor: Visitor) -> None:
        page = visitor.page
        self._cdp = page.context.new_cdp_session(page)
        self._cdp.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "usb",
            "automaticPresenceSimulation": True,
        }
        made = self._cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        self._id = {"authenticatorId": made["authenticatorId"]}

    def pull(self) -> None:
        self._cdp.send("WebAuthn.removeVirtualAuthenticator", self._id)

    def empty(self) -> None:
        """Another key is in its place."""
        self._cdp.send("WebAuthn.clearCredentials", self._id)


def register(visitor: Visitor, name: str = "blue") -> None:
    visitor.go("/account/keys/new")
    visitor.fill(name=name)
    visitor.press("Register")


def with_key(office: Office, name: str, *roles: str) -> tuple[Visitor, Stick]:
    """A new person who is signed in and has registered a key."""
    office.add(name, *roles)
    visitor = office.visitor(name)
    stick = Stick(visitor)
    register(visitor)
    assert visitor.path == "/account"
    return visitor, stick


def sign_in_anew(visitor: Visitor, name: str) -> None:
    visitor.press("Sign out")
    visitor.sign_in(name, PASSPHRASE)


def test_a_key_is_registered_and_shown_at_each_sign_in(office: Office) -> None:
    visitor, _ = with_key(office, "key-ann", "viewer")
    row = visitor.page.get_by_role("row", name="blue").inner_text()
    assert "not since" in row
    visitor.press("Sign out")
    visitor.go("/elections/demo?x=1")
    visitor.fill(name="key-ann", passphrase=PASSPHRASE)
    visitor.press("Sign in")
    assert visitor.heading == SHOW
    assert visitor.violations() == []
    visitor.press("Use the security key")
    assert visitor.path == "/elections/demo?x=1"
    visitor.go("/account")
    row = visitor.page.get_by_role("row", name="blue").inner_text()
    assert "not since" not in row
    # There is nothing to show any more.
    visitor.go("/sign-in/second-factor")
    assert visitor.path == "/"


def test_a_passphrase_alone_opens_no_page(office: Office) -> None:
    visitor, _ = with_key(office, "key-bea", "administrator", "auditor")
    sign_in_anew(visitor, "key-bea")
    gets = (
        *("/", "/elections", "/elections/demo", "/people", "/people/viewer"),
        *("/account", "/account/keys/new", "/sign-in/again"),
    )
    for path in gets:
        visitor.go(path)
        assert visitor.heading == SHOW, path
        assert visitor.page.get_by_role("navigation").count() == 0
    (cookie,) = visitor.page.context.cookies()
    cookies = {cookie["name"]: cookie["value"]}
    posts = (
        *("/people", "/people/viewer/disable", "/people/viewer/remove-key"),
        *("/account/passphrase", "/account/session", "/account/keys/new"),
        *("/account/keys/remove", "/sign-in/again"),
    )
    for path in posts:
        answer = httpx2.post(
            f"{office.url}{path}", cookies=cookies, headers={"Origin": office.url}
        )
        assert answer.status_code == 401, path
        assert "You have not shown your security key" in answer.text
    # A page that renews itself is led there, too.
    renewed = httpx2.get(
        f"{office.url}/", cookies=cookies, headers={"HX-Request": "true"}
    )
    assert renewed.headers["HX-Redirect"] == "/sign-in/second-factor"
    # But one can leave.
    visitor.press("Sign out")
    assert visitor.heading == "Sign in"


def test_without_the_key_it_says_so_and_can_be_tried_again(office: Office) -> None:
    visitor, stick = with_key(office, "key-cyd", "viewer")
    sign_in_anew(visitor, "key-cyd")
    stick.empty()
    # A key that is not theirs is as none.
    visitor.page.get_by_role("button", name="Use the security key").click()
    alert = visitor.page.get_by_role("alert")
    alert.filter(has_text="No security key answered").wait_for()
    assert visitor.violations() == []
    assert visitor.page.get_by_role("button", name="Use the security key").is_enabled()


def test_an_answer_that_does_not_hold_is_refused(office: Office) -> None:
    visitor, _ = with_key(office, "key-dot", "viewer")
    sign_in_anew(visitor, "key-dot")
    send = "() => { const f = document.getElementById('key-form');"
    send += " f.elements.answer.value = '{}'; f.submit(); }"
    with visitor.page.expect_navigation():
        visitor.page.evaluate(send)
    assert visitor.heading == SHOW
    alerts = visitor.page.get_by_role("alert").all_inner_texts()
    assert any("does not hold" in said for said in alerts)
    visitor.press("Use the security key")
    assert visitor.path == "/"


def test_one_key_of_two_is_removed_and_the_last_of_an_administrator_is_not(
    office: Office,
) -> None:
    visitor, stick = with_key(office, "key-eve", "administrator")
    elsewhere = office.visitor("key-eve")
    # The same key does not register twice; its name is not taken twice.
    visitor.go("/account/keys/new")
    assert visitor.violations() == []
    visitor.fill(name="green")
    visitor.page.get_by_role("button", name="Register").click()
    visitor.page.get_by_text("This security key is registered already").wait_for()
    stick.pull()
    Stick(visitor)
    register(visitor, "blue")
    assert "a name of its own" in visitor.page.locator("#problem").inner_text()
    assert visitor.violations() == []
    register(visitor, "green")
    assert visitor.violations() == []
    visitor.press("Remove the security key blue")
    assert visitor.page.get_by_role("row", name="green").count() == 1
    assert visitor.page.get_by_role("row", name="blue").count() == 0
    elsewhere.go("/")
    assert elsewhere.heading == "Sign in"
    for path in ("/account", "/people/key-eve"):
        visitor.go(path)
        visitor.press("Remove the security key green")
        said = visitor.page.locator("#problem").inner_text()
        assert "administrators must have one" in said, path
        assert visitor.violations() == []
    assert [one.name for one in authenticators.listed(office.people, "key-eve")] == [
        "green"
    ]


def test_an_administrator_removes_the_key_that_somebody_lost(office: Office) -> None:
    somebody, _ = with_key(office, "key-fay", "administrator")
    auditor = office.visitor("auditor")
    auditor.go("/people/key-fay")
    assert auditor.page.get_by_role("row", name="blue").count() == 1
    assert auditor.page.get_by_role("button", name="Remove").count() == 0
    administrator = office.visitor("administrator")
    administrator.go("/people/key-fay")
    assert administrator.violations() == []
    administrator.press("Remove the security key blue")
    assert administrator.path == "/people/key-fay"
    assert administrator.page.get_by_role("row", name="blue").count() == 0
    # Their sessions have ended, and the passphrase alone lets them in.
    somebody.sign_in("key-fay", PASSPHRASE)
    assert somebody.path == "/"


def test_in_development_an_administrator_without_a_key_is_warned(
    office: Office,
) -> None:
    visitor = office.visitor("administrator")
    visitor.go("/people/viewer")
    warned = visitor.page.locator(".warning").first
    assert "Administrators must have a security key" in warned.inner_text()
    visitor.press("End all sessions")
    assert visitor.path == "/people/viewer"
    assert "security key" not in office.visitor("viewer").page.inner_text("main")


@pytest.fixture(scope="module")
def production(office: Office) -> Iterator[Running]:
    """The same pages in production, at an origin of their own."""
    engine = office.engine
    folder = engine.folder / "production"
    folder.mkdir()
    admin = start_admin(engine.env, engine.database, folder, environment="production")
    with stopping(admin):
        yield admin


def test_in_production_an_administrator_needs_a_key_to_administer(
    office: Office, production: Running
) -> None:
    office.add("key-gil", "administrator")
    visitor = office.browsing.visitor(production.url)
    visitor.sign_in("key-gil", PASSPHRASE)
    for path in ("/", "/elections", "/people", "/account"):
        assert visitor.go(path).status == 200, path
    visitor.go("/people/viewer")
    visitor.press("End all sessions")
    assert visitor.heading == "Register a security key first"
    assert visitor.violations() == []
    Stick(visitor)
    visitor.page.get_by_role("link", name="Register a security key", exact=True).click()
    visitor.fill(name="blue")
    visitor.press("Register")
    assert visitor.page.locator(".warning").count() == 0
    visitor.go("/people/viewer")
    visitor.press("End all sessions")
    assert visitor.path == "/people/viewer"


def test_in_production_an_export_is_opened_with_a_key_alone(
    office: Office, production: Running
) -> None:
    office.add("key-ivo", "auditor")
    visitor = office.browsing.visitor(production.url)
    visitor.sign_in("key-ivo", PASSPHRASE)
    assert visitor.go("/audit/exports").status == 200
    answer = visitor.page.request.post(
        f"{production.url}/audit/exports/{uuid.uuid4()}/download",
        headers={"Origin": production.url},
    )
    assert answer.status == 403
    assert "Register a security key first" in answer.text()


def test_registering_and_removing_want_a_recent_sign_in(office: Office) -> None:
    visitor, _ = with_key(office, "key-hal", "viewer")
    with office.people.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE people_sessions SET signed_in_at = signed_in_at - interval '1 hour'"
            " WHERE person = (SELECT id FROM people WHERE name = 'key-hal')"
        )
    visitor.go("/account/keys/new")
    assert visitor.path.startswith("/sign-in/again")
    visitor.go("/account")
    visitor.press("Remove the security key blue")
    assert visitor.path.startswith("/sign-in/again")
    visitor.fill(passphrase=PASSPHRASE)
    visitor.press("Sign in")
    visitor.press("Remove the security key blue")
    assert visitor.page.get_by_role("row", name="blue").count() == 0
    # Nothing is asked for any more but the passphrase.
    sign_in_anew(visitor, "key-hal")
    assert visitor.path == "/"


def test_at_an_address_it_says_where_keys_can_be_used(office: Office) -> None:
    engine = office.engine
    folder = engine.folder / "address"
    folder.mkdir()
    admin = start_admin(engine.env, engine.database, folder, host="127.0.0.1")
    with stopping(admin):
        visitor = office.browsing.visitor(admin.url)
        visitor.sign_in("administrator", PASSPHRASE)
        assert visitor.go("/account/keys/new").status == 409
        said = visitor.page.locator("#problem").inner_text()
        assert "set admin_origin" in said
        assert visitor.page.locator("#key-form").count() == 0
