"""`votepyramid people`, as an operator and a script run it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from tests.people.conftest import PASSWORD
from tests.people.test_second_factor import Visit
from tests.support.databases import Database
from votepyramid.cli import main
from votepyramid.people import sessions, setup
from votepyramid.people.oidc.id_tokens import Identity
from votepyramid.people.signing_in import sign_in

Run = Callable[..., Result]
ORIGIN = "https://admin.example.org"


@pytest.fixture
def run(database: Database) -> Run:
    env = {
        "VOTEPYRAMID_OWNER_DATABASE_URL": database.owner_url,
        "VOTEPYRAMID_ADMIN_ORIGIN": ORIGIN,
    }

    def invoke(*words: str, typed: str = "") -> Result:
        return CliRunner().invoke(main, ["people", *words], env=env, input=typed)

    return invoke


def said(result: Result, status: int = 0) -> dict[str, Any]:
    assert result.exit_code == status, (result.output, result.exception)
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def accept(run: Run, *lines: str) -> Result:
    return run("accept", "--json", typed="".join(f"{line}\n" for line in lines))


def start(run: Run) -> None:
    link = said(run("setup-link", "--json"))["link"]
    assert said(accept(run, link, "ada", PASSWORD, PASSWORD)) == {"name": "ada"}


def test_from_nobody_to_two_people(run: Run, owner: Engine) -> None:
    assert "people setup-link" in run("list").stdout
    start(run)
    link = said(run("invite", "bob", "--role", "auditor", "--role", "viewer", "--json"))
    assert "not set up yet" in run("list").stdout
    said(accept(run, link["link"], PASSWORD, PASSWORD))
    shown = said(run("list", "--json"))["people"]
    assert [(one["name"], one["roles"], one["set_up"]) for one in shown] == [
        ("ada", ["administrator"], True),
        ("bob", ["viewer", "auditor"], True),
    ]
    assert sign_in(owner, "bob", PASSWORD).roles == ("viewer", "auditor")


def test_a_link_has_its_secret_where_browsers_keep_it(
    run: Run, owner: Engine, database: Database
) -> None:
    page, secret = run("setup-link").stdout.splitlines()[0].split("#")
    assert page == f"{ORIGIN}/set-up"
    assert setup.for_whom(owner, secret) is None
    invited = run("invite", "bob", "--role", "viewer").stdout.splitlines()[0]
    assert setup.for_whom(owner, invited.removeprefix(f"{ORIGIN}/set-up#")) == "bob"
    # Without pages it is the secret alone.
    env = {"VOTEPYRAMID_OWNER_DATABASE_URL": database.owner_url}
    bare = CliRunner().invoke(main, ["people", "setup-link"], env=env)
    assert setup.for_whom(owner, bare.stdout.splitlines()[0]) is None


def test_what_is_mistyped_is_a_sentence(run: Run) -> None:
    link = said(run("setup-link", "--json"))["link"]
    for lines, says in [
        (["wrong"], "ask for a new one"),
        ([link, "Ada"], "a name is"),
        ([link, "ada", PASSWORD, "another"], "differ"),
        ([link, "ada", "short", "short"], "too short"),
    ]:
        result = accept(run, *lines)
        assert says in said(result, status=1)["error"]
        assert PASSWORD not in result.output
    said(accept(run, link, "ada", PASSWORD, PASSWORD))
    second = said(run("setup-link", "--json"), status=1)
    assert "administrator already" in second["error"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["bob"],
        ["--role", "viewer"],
        ["bob", "--again", "--role", "viewer"],
        ["bob", "--role", "root"],
        ["--again"],
    ],
)
def test_invitations_that_make_no_sense_are_refused(run: Run, words: list[str]) -> None:
    assert run("invite", *words).exit_code == 2


def test_roles_disable_enable_and_unlock(run: Run, owner: Engine) -> None:
    start(run)
    link = said(run("invite", "bob", "--role", "viewer", "--json"))["link"]
    said(accept(run, link, PASSWORD, PASSWORD))
    given = said(run("roles", "bob", "auditor", "operator", "--json"))
    assert given == {"name": "bob", "roles": ["operator", "auditor"]}
    sessions.open(owner, sign_in(owner, "bob", PASSWORD).id)
    assert said(run("disable", "bob", "--json")) == {"name": "bob", "sessions_ended": 1}
    assert "disabled" in run("list").stdout
    said(run("enable", "bob", "--json"))
    said(run("unlock", "bob", "--json"))
    last = said(run("disable", "ada", "--json"), status=1)
    assert "last administrator" in last["error"]
    nobody = said(run("unlock", "nobody", "--json"), status=1)
    assert "people list" in nobody["error"]
    again = said(run("invite", "bob", "--again", "--json"))["link"]
    assert said(accept(run, again, PASSWORD, PASSWORD)) == {"name": "bob"}


def test_security_keys_are_shown_and_taken_away(run: Run, owner: Engine) -> None:
    start(run)
    assert run("authenticators", "ada").stdout == "None.\n"
    ada = Visit(owner, sessions.open(owner, sign_in(owner, "ada", PASSWORD).id).secret)
    ada.register("blue")
    (shown,) = said(run("authenticators", "ada", "--json"))["authenticators"]
    assert (shown["name"], shown["last_used_at"]) == ("blue", None)
    assert run("authenticators", "ada").stdout.startswith("blue  since 20")
    other = said(run("remove-authenticator", "ada", "red", "--json"), status=1)
    assert "no such security key" in other["error"]
    done = said(run("remove-authenticator", "ada", "blue", "--json"))
    assert done == {"name": "ada", "sessions_ended": 1}
    assert run("authenticators", "ada").stdout == "None.\n"


def test_identities_are_shown_and_taken_away(run: Run, owner: Engine) -> None:
    start(run)
    assert run("identities", "ada").stdout == "None.\n"
    link = said(run("invite", "bob", "--role", "viewer", "--json"))["link"]
    known = setup.usable(owner, link.rpartition("#")[2], "bob")
    who = Identity("https://id.example", "4711", since=0.0)
    sessions.open(owner, setup.accept_identity(owner, known, "bob", who))
    ada, bob = said(run("list", "--json"))["people"]
    assert (ada["passphrase"], ada["issuers"]) == (True, [])
    assert (bob["passphrase"], bob["issuers"]) == (False, ["https://id.example"])
    assert bob["set_up"] and "known at https://id.example" in run("list").stdout
    (shown,) = said(run("identities", "bob", "--json"))["identities"]
    assert (shown["issuer"], shown["subject"]) == ("https://id.example", "4711")
    assert "4711  since 20" in run("identities", "bob").stdout
    other = said(run("remove-identity", "bob", "https://x.example", "--json"), 1)
    assert "no such identity" in other["error"]
    done = said(run("remove-identity", "bob", "https://id.example", "--json"))
    assert done == {"name": "bob", "sessions_ended": 1}
    assert "not set up yet" in run("list").stdout


def test_sessions_are_shown_and_revoked(run: Run, owner: Engine) -> None:
    start(run)
    assert run("sessions", "ada").stdout == "None.\n"
    ada = sign_in(owner, "ada", PASSWORD).id
    opened = [sessions.open(owner, ada) for _ in range(3)]
    shown = said(run("sessions", "ada", "--json"))["sessions"]
    assert [one["id"] for one in shown] == [one.id.hex() for one in reversed(opened)]
    one = ["--session", opened[0].id.hex(), "--json"]
    assert said(run("revoke", "ada", *one))["sessions_ended"] == 1
    assert "over" in said(run("revoke", "ada", *one), status=1)["error"]
    other = said(run("revoke", "ada", "--session", "zz", "--json"), status=1)
    assert "over" in other["error"]
    assert said(run("revoke", "ada", "--json"))["sessions_ended"] == 2
    assert run("sessions", "ada").stdout == "None.\n"
