"""Setting up, signing in and out, and what is refused on the way."""

from __future__ import annotations

from typing import Any

import httpx2
import psycopg
import pytest

from tests.admin_ui.conftest import PASSPHRASE, Office
from tests.support.needs import needs
from votepyramid.audit.operators import acting_as
from votepyramid.people import sessions, setup
from votepyramid.people.errors import SignInRefused
from votepyramid.people.signing_in import FREE_ATTEMPTS, sign_in

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


def sql(office: Office, query: str, person: str) -> Any:
    """Run it about a person's sessions; the first column of its one row."""
    whose = " WHERE person = (SELECT id FROM people WHERE name = %s)"
    with psycopg.connect(office.engine.database.owner_url) as db:
        done = db.execute(query + whose, [person])
        return done.fetchall()[0][0] if done.description else None


LATER = "UPDATE people_sessions SET signed_in_at = signed_in_at - interval '1 hour'"
IDLE = "UPDATE people_sessions SET seen_at = clock_timestamp() - interval "
SINCE = (
    "SELECT extract(epoch FROM clock_timestamp() - max(seen_at))::int "
    "FROM people_sessions"
)


def test_a_stranger_keeps_nobody_inside_from_acting(office: Office) -> None:
    office.add("attacked", "administrator")
    visitor = office.visitor("attacked")
    sql(office, LATER, "attacked")
    for _ in range(FREE_ATTEMPTS):
        with pytest.raises(SignInRefused):
            sign_in(office.people, "attacked", "wrong wrong wrong")
    visitor.go("/new-election")
    assert visitor.heading == "Sign in again"
    visitor.fill(passphrase="wrong wrong wrong")
    visitor.press("Sign in")
    assert "4 times more" in visitor.page.get_by_role("alert").inner_text()
    visitor.fill(passphrase=PASSPHRASE)
    visitor.press("Sign in")
    assert visitor.path == "/new-election"
    visitor.go("/people/attacked")
    visitor.press("Unlock")
    assert office.visitor("attacked").path == "/"


def test_a_session_in_which_somebody_guesses_ends(office: Office) -> None:
    office.add("guessed", "viewer")
    visitor = office.visitor("guessed")
    visitor.go("/sign-in/again")
    for _ in range(FREE_ATTEMPTS):
        visitor.fill(passphrase="wrong wrong wrong")
        visitor.press("Sign in")
    assert visitor.heading == "You are not signed in"
    visitor.go("/")
    assert visitor.heading == "Sign in"
    # The account is as it was.
    assert office.visitor("guessed").path == "/"


def test_a_page_that_renews_itself_keeps_nobody_signed_in(office: Office) -> None:
    office.add("idle", "viewer")
    visitor = office.visitor("idle")
    assert visitor.path == "/"
    sql(office, f"{IDLE} '29 minutes 52 seconds'", "idle")
    visitor.page.wait_for_url("**/sign-in")
    assert visitor.heading == "Sign in"


@pytest.mark.parametrize(
    ("path", "headers", "counts"),
    [
        ("/", {}, True),
        ("/", {"HX-Request": "true"}, False),
        ("/elections/demo", {"HX-Request": "true"}, False),
        # As nginx asks about a request to Temporal's console.
        ("/console/allowed", {"Sec-Fetch-Mode": "navigate"}, True),
        ("/console/allowed", {"Sec-Fetch-Mode": "cors"}, False),
        ("/console/allowed", {}, False),
    ],
)
def test_who_is_at_a_page_is_seen(
    office: Office, path: str, headers: dict[str, str], counts: bool
) -> None:
    with httpx2.Client(base_url=office.url) as client:
        form = {"name": "viewer", "passphrase": PASSPHRASE, "next": "/"}
        answer = client.post("/sign-in", data=form, headers={"Origin": office.url})
        assert answer.status_code == 303
        sql(office, f"{IDLE} '20 minutes'", "viewer")
        assert client.get(path, headers=headers).status_code in (200, 204)
    assert (sql(office, SINCE, "viewer") < 600) == counts
