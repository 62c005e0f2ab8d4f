"""Setting up, signing in and out, and what is refused on the way."""

from __future__ import annotations

import httpx2
import pytest

from tests.admin_ui.conftest import PASSPHRASE, Office
from tests.support.needs import needs
from votepyramid.audit.operators import acting_as
from votepyramid.people import sessions, setup

pytestmark = needs("chromium")


def test_a_person_sets_up_by_a_link_and_signs_in(office: Office) -> None:
    engine = acting_as(office.people, "tests")
    link = setup.invite(engine, "ada", ["viewer"])
    visitor = office.visitor()
    visitor.go(f"/set-up#{link.secret}")
    assert "#" not in visitor.page.url
    visitor.fill(name="ada", passphrase=PASSPHRASE, repeated=PASSPHRASE)
    visitor.press("Set up")
    assert visitor.heading == "Sign in"
    visitor.fill(name="ada", passphrase=PASSPHRASE)
    visitor.press("Sign in")
    assert visitor.path == "/"
    # The link is used up.
    late = office.visitor()
    late.go(f"/set-up#{link.secret}")
    late.fill(name="ada", passphrase=PASSPHRASE, repeated=PASSPHRASE)
    late.press("Set up")
    assert "used or expired" in late.page.get_by_role("alert").inner_text()


def test_the_first_start_says_how_to_begin(office: Office) -> None:
    said = (office.engine.folder / "admin.log").read_text()
    assert '"nobody_administers_yet"' in said and "people setup-link" in said


def test_whoever_is_not_signed_in_comes_back_to_the_page(office: Office) -> None:
    visitor = office.visitor()
    visitor.go("/elections/demo?x=1")
    assert visitor.heading == "Sign in"
    visitor.fill(name="viewer", passphrase=PASSPHRASE)
    visitor.press("Sign in")
    assert visitor.path == "/elections/demo?x=1"


@pytest.mark.parametrize(
    "target",
    ["https://elsewhere.example/", "//elsewhere.example/", "/\\elsewhere.example", "x"],
)
def test_nobody_is_sent_elsewhere(office: Office, target: str) -> None:
    visitor = office.visitor()
    visitor.page.goto(f"{office.url}/sign-in")
    visitor.page.evaluate(
        "target => document.querySelector('[name=next]').value = target", target
    )
    visitor.fill(name="viewer", passphrase=PASSPHRASE)
    visitor.press("Sign in")
    assert visitor.path == "/"


def test_a_wrong_passphrase_says_nothing_of_the_name(office: Office) -> None:
    said = []
    for name in ("viewer", "nobody-at-all"):
        visitor = office.visitor()
        visitor.sign_in(name, "wrong passphrase here")
        said.append(visitor.page.get_by_role("alert").inner_text())
        assert visitor.page.locator("[name=passphrase]").input_value() == ""
    assert said[0] == said[1]


def test_signing_out_ends_the_session_everywhere(office: Office) -> None:
    visitor = office.visitor("viewer")
    cookies = visitor.page.context.cookies()
    (cookie,) = cookies
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax"
    visitor.press("Sign out")
    assert visitor.heading == "Sign in"
    visitor.page.context.add_cookies([cookie])
    visitor.go("/")
    assert visitor.heading == "Sign in"


def test_a_revoked_session_ends_with_the_next_request(office: Office) -> None:
    office.add("grace", "viewer")
    visitor = office.visitor("grace")
    sessions.revoke_all(acting_as(office.people, "tests"), "grace")
    visitor.go("/elections")
    assert visitor.heading == "Sign in"


def test_a_change_from_another_site_is_refused(office: Office) -> None:
    visitor = office.visitor("administrator")
    (cookie,) = visitor.page.context.cookies()
    for origin in (None, "null", "https://elsewhere.example"):
        answer = httpx2.post(
            f"{office.url}/sign-out",
            cookies={cookie["name"]: cookie["value"]},
            headers={} if origin is None else {"Origin": origin},
        )
        assert answer.status_code == 403, origin
        assert "did not come from these pages" in answer.text
    visitor.go("/")
    assert visitor.heading != "Sign in"


def test_a_form_is_ours_or_it_is_refused(office: Office) -> None:
    for data in (
        {"name": "viewer"},
        {"name": "viewer", "passphrase": "x", "next": "/", "more": "x"},
        {"name": ["viewer", "auditor"], "passphrase": "x", "next": "/"},
        {"name": "viewer" * 1000, "passphrase": "x", "next": "/"},
    ):
        answer = httpx2.post(
            f"{office.url}/sign-in", data=data, headers={"Origin": office.url}
        )
        assert answer.status_code == 400, data
