"""Temporal's console in production: behind the pages' sign-in, for looking alone."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from playwright.sync_api import expect

from admin_ui.rendering import CSP
from tests.admin_ui.conftest import PASSPHRASE, ROLES, Office
from tests.admin_ui.production import (
    WORKFLOWS,
    Site,
    api_of,
    history,
    page_of,
    shown,
)
from tests.admin_ui.test_second_factor import SHOW
from tests.admin_ui.test_signing_in import IDLE, SINCE, sql
from tests.admin_ui.test_work import Beside
from tests.support.faults import Console
from tests.support.fronts import Nginx
from tests.support.needs import needs
from tests.support.voting import Door
from tests.work.stuck import Stuck, stuck_at
from votepyramid.engine.codec import ENCODING
from votepyramid.people import sessions
from votepyramid.stack.ports import free_port
from workflows.messages import RECORD_VOTES

pytestmark = [needs("chromium"), needs("nginx")]

NAVIGATION = {"Sec-Fetch-Mode": "navigate"}
_NUMBERS = count()


@pytest.fixture(scope="module")
def console(office: Office) -> Console:
    return Beside(office.engine.env)


@pytest.fixture
def stuck(office: Office, console: Console) -> Iterator[Stuck]:
    election = office.engine.make_election(id=f"console-{next(_NUMBERS)}")
    door = Door(office.engine.web.url, election)
    with stuck_at(RECORD_VOTES, door, election, console) as made:
        yield made


def test_a_stranger_signs_in_and_gets_where_they_wanted(site: Site) -> None:
    workflow_id, receipt_hash = site.recorded()
    visitor = site.visitor()
    said: list[str] = []
    visitor.page.on("console", lambda message: said.append(message.text))
    visitor.go(f"{site.console}{page_of(workflow_id)}?x=a%2Fb&y=1")
    assert visitor.heading == "Sign in"
    assert visitor.page.url.startswith(f"{site.pages}/sign-in?next=")
    visitor.fill(name="viewer", passphrase=PASSPHRASE)
    visitor.page.get_by_role("button", name="Sign in").click()
    visitor.page.wait_for_url(f"{site.console}{page_of(workflow_id)}**")
    shown(visitor, "submit_votes")
    # What is sealed stays so for a viewer, and the page says why.
    shown(visitor, base64.b64encode(ENCODING).decode())
    shown(visitor, "Payloads stay sealed")
    assert receipt_hash not in visitor.page.locator("body").inner_text()
    assert [text for text in said if "Content Security Policy" in text] == []


def test_where_they_wanted_is_kept_as_it_was(site: Site) -> None:
    """Also what nobody can encode twice: a slash in an id, a query of its own."""
    wanted = "/namespaces/default/workflows/vote%2F%C3%A4?query=a%3D'b'&x=1?y"
    stranger = site.stranger()
    led = stranger.get(wanted, headers=NAVIGATION)
    assert led.status_code == 303
    assert led.headers["location"] == f"{site.pages}/console?to={wanted}"
    with site.client(site.visitor("viewer"), site.pages) as client:
        page = client.get(led.headers["location"])
        (address,) = {
            part.split('"')[0].removeprefix("0; url=")
            for part in page.text.replace("&amp;", "&")
            .replace("&#39;", "'")
            .split('content="')
            if part.startswith("0; url=")
        }
        assert address == f"{site.console}{wanted}"
        # Nowhere else, whatever stands there.
        for other in ("//evil.example/", "https://evil.example", "\\evil", "@evil", ""):
            page = client.get(f"/console?to={other}")
            assert f"url={site.console}/" in page.text, other


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 401),
        ("HEAD", "/", 401),
        ("GET", "/_app/version.json", 401),
        ("GET", "/favicon.ico", 401),
        ("GET", "/healthz", 401),
        ("GET", "/api/v1/settings", 401),
        ("GET", WORKFLOWS, 401),
        ("GET", "//api/v1/settings", 401),
        ("GET", "/codec/../api/v1/settings", 401),
        ("POST", f"{WORKFLOWS}/x/terminate", 403),
        ("POST", "/codec/decode", 401),
        ("POST", "/codec/encode", 404),
        ("OPTIONS", "/codec/decode", 403),
        ("GET", "/.allowed", 404),
        ("GET", "/.operator", 404),
    ],
)
def test_a_stranger_gets_nothing(
    site: Site, method: str, path: str, status: int
) -> None:
    stranger = site.stranger()
    for cookie in ("", f"__Host-votepyramid={'A' * 43}", "votepyramid-admin=x"):
        answer = stranger.request(method, path, headers={"Cookie": cookie})
        assert answer.status_code == status, answer.text
        assert "svelte" not in answer.text and "executions" not in answer.text


def test_the_pages_lead_everybody_to_the_console(site: Site) -> None:
    for role in ROLES:
        visitor = site.visitor(role)
        link = visitor.page.get_by_role("link", name="Temporal console", exact=True)
        assert link.get_attribute("href") == "/console", role
    link.click()
    visitor.page.wait_for_url(f"{site.console}/**")
    shown(visitor, "Workflows")


def test_where_no_console_is_named_nothing_leads_there(office: Office) -> None:
    visitor = office.visitor("viewer")
    assert visitor.page.get_by_role("link", name="Temporal console").count() == 0
    assert visitor.go("/console").status == 404


def test_the_page_in_between_can_be_used_without_its_refresh(site: Site) -> None:
    visitor = site.visitor("viewer")
    visitor.page.route(f"{site.console}/**", lambda route: route.abort("aborted"))
    visitor.go("/console")
    link = visitor.page.get_by_role("link", name="Go there now")
    assert link.get_attribute("href") == f"{site.console}/"
    assert visitor.violations() == []


def test_a_passphrase_alone_is_not_enough_for_who_has_a_key(site: Site) -> None:
    workflow_id, _ = site.recorded()
    visitor = site.with_key("con-ann", "viewer")
    visitor.press("Sign out")
    visitor.sign_in("con-ann", PASSPHRASE)
    with site.client(visitor) as client:
        assert client.get(WORKFLOWS).status_code == 401
        assert site.decode(client, []).status_code == 401
    visitor.go(f"{site.console}{page_of(workflow_id)}")
    assert visitor.heading == SHOW
    visitor.page.get_by_role("button", name="Use the security key").click()
    visitor.page.wait_for_url(f"{site.console}{page_of(workflow_id)}**")
    with site.client(visitor) as client:
        assert client.get(WORKFLOWS).status_code == 200


def test_a_session_that_ends_ends_the_looking(site: Site) -> None:
    site.office.add("con-bea", "operator")
    visitor = site.visitor("con-bea")
    with site.client(visitor) as client:
        assert client.get(WORKFLOWS).status_code == 200
        sessions.revoke_all(site.office.people, "con-bea")
        assert client.get(WORKFLOWS).status_code == 401
        assert site.decode(client, []).status_code == 401
    visitor.go(site.console)
    assert visitor.heading == "Sign in"


def writes(workflow_id: str) -> list[tuple[str, str, Any]]:
    """What the console's buttons send, and what its own check lets through."""
    one = api_of(workflow_id)
    batch = "/api/v1/namespaces/default/batch-operations"
    everything = {
        "visibilityQuery": f'WorkflowId="{workflow_id}"',
        "reason": "x",
        "terminationOperation": {"identity": "x"},
    }
    return [
        ("POST", f"{one}/terminate", {}),
        ("POST", f"{one}/cancel", {}),
        ("POST", f"{one}/signal/stop", {}),
        ("POST", f"{one}/reset", {"reason": "x", "workflowTaskFinishEventId": 3}),
        ("POST", f"{one}/update/x", {}),
        ("POST", f"{one}/query/__stack_trace", {}),
        ("POST", f"{WORKFLOWS}/new", {"workflowType": {"name": "x"}}),
        ("POST", f"{batch}/stop", everything),
        ("POST", f"{batch}/%2Fworkflows%2F%2Fquery%2F", everything),
        ("POST", f"{one}/signal/%2Fquery%2F", {}),
        ("PUT", one, {}),
        ("PATCH", one, {}),
        ("DELETE", one, {}),
        ("DELETE", "/api/v1/namespaces/default/schedules/x", {}),
        ("POST", "/api/v1/namespaces", {"namespace": "x"}),
    ]


def test_nobody_changes_anything_there(site: Site, stuck: Stuck) -> None:
    visitor = site.with_key("con-cyd", "administrator")
    visitor.go(f"{site.console}{page_of(stuck.workflow_id)}")
    shown(visitor, "Running")
    for name in ("Request Cancellation", "More Actions"):
        for button in visitor.page.get_by_role("button", name=name).all():
            expect(button).to_be_disabled()
    with site.client(visitor) as client:
        before = history(client, stuck.workflow_id)
        for method, path, body in writes(stuck.workflow_id):
            answer = client.request(
                method, path, json=body, headers={"Origin": site.console}
            )
            assert answer.status_code == 403, (method, path)
        hidden = {"X-HTTP-Method-Override": "POST", "X-HTTP-Method": "POST"}
        one = f"{api_of(stuck.workflow_id)}/terminate"
        assert client.get(one, headers=hidden).status_code >= 400
        assert history(client, stuck.workflow_id) == before
    assert stuck.console.status(stuck.workflow_id) == "RUNNING"


def test_the_console_alone_would_let_a_write_through(site: Site, stuck: Stuck) -> None:
    """Why nginx looks at the method. Fails when the console has become better."""
    own = httpx2.Client(base_url=site.own_console)
    token = own.get("/api/v1/settings").cookies["_csrf"]
    headers = {"X-CSRF-Token": token, "Cookie": f"_csrf={token}"}
    by_path = {
        path: own.request(method, path, json=body, headers=headers).status_code
        for method, path, body in writes(stuck.workflow_id)
        if "signal" in path
    }
    assert sorted(by_path.values()) == [200, 405]


def test_what_nginx_asks_is_for_nginx_alone(site: Site) -> None:
    with site.client(site.with_key("con-fay", "operator"), site.pages) as client:
        for path in ("/console/allowed", "/console/operator", "/console//operator"):
            answer = client.get(path)
            assert answer.status_code == 404, path
            assert "x-operator-token" not in answer.headers
        assert client.get("/console").status_code == 200


def test_headers(site: Site) -> None:
    with site.client(site.visitor("viewer")) as client:
        page = client.get("/namespaces")
        asset = client.get("/_app/version.json")
        listed = client.get(WORKFLOWS)
        immutable = page.text.split('href="/_app/immutable/')[1].split('"')[0]
        kept = client.get(f"/_app/immutable/{immutable}")
    assert page.status_code == listed.status_code == kept.status_code == 200
    for answer in (page, listed, kept):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "form-action 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "max-age" in answer.headers["Strict-Transport-Security"]
        assert "set-cookie" not in answer.headers
    # The page brings the policy for its scripts in itself: no others run.
    assert "script-src 'strict-dynamic' 'sha256-" in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert "immutable" in kept.headers["Cache-Control"]
    assert "immutable" not in asset.headers.get("Cache-Control", "")


def test_the_pages_are_behind_tls_as_they_are(site: Site) -> None:
    client = httpx2.Client(base_url=site.pages, verify=False)
    answer = client.get("/sign-in")
    assert answer.headers["Content-Security-Policy"] == CSP
    form = {"name": "viewer", "passphrase": PASSPHRASE, "next": "/elections"}
    begun = client.post("/sign-in", data=form, headers={"Origin": site.pages})
    # Not to http, where a proxy's word for itself would lead.
    assert begun.headers["location"] == f"{site.pages}/elections"
    cookie = begun.headers["set-cookie"]
    assert cookie.startswith("__Host-votepyramid=")
    for part in ("Path=/", "secure", "HttpOnly", "SameSite=Lax"):
        assert part.lower() in cookie.lower()


def test_who_tries_over_and_over_to_sign_in_is_held_back(site: Site) -> None:
    """By an address of their own: those at another sign in all the while."""
    stranger = httpx2.Client(
        base_url=site.pages,
        transport=httpx2.HTTPTransport(verify=False, local_address="127.0.0.2"),
        headers={"Origin": site.pages},
    )
    with stranger, site.client(site.visitor(), site.pages) as another:
        wrong = {"name": "my-secret", "passphrase": "x", "next": "/"}
        assert stranger.post("/sign-in?next=/work", data=wrong).status_code == 403
        # No form, so that no passphrase is looked at.
        tried = [stranger.post("/sign-in", data={"x": "y"}) for _ in range(40)]
        assert [one.status_code for one in tried[:15]] == [400] * 15
        assert tried[-1].status_code == 429
        assert "Wait a minute" in tried[-1].text
        assert int(tried[-1].headers["Retry-After"]) == 60
        for path in ("/set-up", "/sign-in/provider", "/set-up/provider", "/%73ign-in"):
            assert stranger.post(path).status_code == 429, path
        # Looking is free, and so is everybody else.
        assert stranger.get("/sign-in").status_code == 200
        own = {"Origin": site.pages}
        assert another.post("/sign-in", data={}, headers=own).status_code == 400
    # What the runbook sends to: when, from where, and no name.
    written = (site.folder / "votepyramid-sign-in.log").read_text()
    for status in (403, 400, 429):
        assert f" 127.0.0.2 /sign-in {status}\n" in written
    assert "my-secret" not in written and "next" not in written


def test_a_console_that_is_left_open_keeps_nobody_signed_in(site: Site) -> None:
    site.office.add("con-idle", "viewer")
    with site.client(site.visitor("con-idle")) as client:
        for mode, counts in (("cors", False), ("navigate", True)):
            sql(site.office, f"{IDLE} '20 minutes'", "con-idle")
            headers = {"Sec-Fetch-Mode": mode}
            assert client.get("/namespaces", headers=headers).status_code == 200
            assert (sql(site.office, SINCE, "con-idle") < 600) == counts


def test_the_console_leads_to_what_is_written_of_it(site: Site) -> None:
    with site.client(site.visitor("viewer")) as client:
        codec = client.get("/api/v1/settings").json()["Codec"]
        assert codec["DefaultErrorLink"].startswith(f"{site.pages}/manual/")
        page = client.get(codec["DefaultErrorLink"])
    assert page.status_code == 200 and "temporal-ui-server" in page.text


def test_no_log_has_addresses(site: Site) -> None:
    workflow_id, receipt_hash = site.recorded()
    with site.client(site.visitor("viewer")) as client:
        for path in (page_of(workflow_id), f"{WORKFLOWS}/{receipt_hash}"):
            client.get(path)
            client.post(path)
            httpx2.get(f"{site.console}{path}", verify=False)
    names = ("access.log", "errors.log", "votepyramid.log", "nginx.log", "console.log")
    for name in names:
        text = (site.folder / name).read_text()
        for word in ("namespaces/default", receipt_hash, quote(workflow_id, safe="")):
            assert word not in text, name


def test_nothing_is_let_through_while_the_pages_are_away(
    site: Site, tmp_path: Path
) -> None:
    console = int(site.own_console.rpartition(":")[2])
    pages, front = free_port(), free_port()
    behind = {"pages": free_port(), "console": console, "codec server": free_port()}
    nginx = Nginx(tmp_path, pages, front, behind)
    nginx.start()
    visitor = site.visitor("viewer")
    try:
        with site.client(visitor, f"https://localhost:{front}") as client:
            for path in ("/", WORKFLOWS):
                assert client.get(path).status_code == 500
            assert site.decode(client, []).status_code == 500
    finally:
        nginx.stop()
