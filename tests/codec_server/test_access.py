"""Only operators with a role, only on the console's page; and nobody seals."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import httpx2
import pytest
from webtest import TestApp

from tests.codec_server.desk import NAMESPACE, ORIGIN, Desk, data, start
from tests.support.voting import assert_problem
from votepyramid.errors import Code, Refused
from votepyramid.settings import Settings, SettingsError
from votepyramid.web.codec_server.app import make_app
from votepyramid.web.codec_server.services import Rate, make_services

SECURE_ORIGIN = "https://console.example"
OTHERS = {
    "none": None,
    "null": "null",
    "another host": "http://console.example.evil.example:8233",
    "another port": "http://console.example:8234",
    "another scheme": "https://console.example:8233",
    "in capitals": "HTTP://CONSOLE.EXAMPLE:8233",
    "with a slash": f"{ORIGIN}/",
    "two": f"{ORIGIN}, {ORIGIN}",
    "any": "*",
}


def _production(desk: Desk, **changes: Any) -> Settings:
    values = {
        "codec_keys_file": desk.engine.env["VOTEPYRAMID_CODEC_KEYS_FILE"],
        "operator_jwks": desk.engine.env["VOTEPYRAMID_OPERATOR_JWKS"],
        "operator_issuer": "https://id.example",
        "operator_audience": "operators",
        "codec_origin": SECURE_ORIGIN,
        **changes,
    }
    return Settings(**values)


def test_a_browser_is_told_what_the_page_may_send(desk: Desk) -> None:
    for path in ("/decode", "/encode"):
        asked = {
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-namespace",
        }
        answer = desk.http.options(path, headers=asked)
        assert answer.status_code == 204
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.headers["Access-Control-Allow-Methods"] == "POST"
        assert set(answer.headers["Access-Control-Allow-Headers"].split(", ")) == {
            "Authorization",
            "Authorization-Extras",
            "Content-Type",
            "X-Namespace",
        }
        assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("name", OTHERS)
def test_any_other_page_is_refused(desk: Desk, name: str) -> None:
    for path in ("/decode", "/encode"):
        answer = desk.ask({"payloads": desk.sealed()}, path, Origin=OTHERS[name])
        problem = assert_problem(answer, 403, "forbidden")
        assert problem["reason"] == "origin"
        headers = {"Origin": OTHERS[name] or "", "X-Namespace": NAMESPACE}
        asked = desk.http.options(path, headers=headers)
        assert_problem(asked, 403, "forbidden")
        for one in (answer, asked):
            assert not [n for n in one.headers if n.startswith("access-control")]
            assert "Origin" in one.headers["Vary"]


def test_a_refusal_can_be_read_by_the_page(desk: Desk) -> None:
    answer = desk.ask({}, Authorization=None)
    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize("role", ["administrator", "operator", "auditor"])
def test_every_role_may_look(desk: Desk, role: str) -> None:
    token = f"Bearer {desk.token('other', role)}"
    (found,) = desk.decode(desk.sealed(), Authorization=token)
    assert data(found)["votes"]
    assert desk.lines("payloads_decoded")[-1]["role"] == role


def test_who_has_no_role_may_not(desk: Desk) -> None:
    document = {"payloads": desk.sealed()}
    for role in ("", "voter", "Operator", "operator "):
        token = f"Bearer {desk.token(role)}"
        answer = desk.ask(document, Authorization=token)
        problem = assert_problem(answer, 403, "forbidden")
        assert problem["reason"] == "no_role"


def test_who_has_not_signed_in_may_not(desk: Desk) -> None:
    document = {"payloads": desk.sealed()}
    voter = desk.election.jwt("v0")
    another = desk.token("operator", operator_audience="another")
    for sent in (None, "Bearer", f"Bearer {voter}", f"Bearer {another}", "Basic eDp5"):
        answer = desk.ask(document, Authorization=sent)
        assert_problem(answer, 401, "unauthenticated")
    answer = desk.ask(document, Authorization=f"Bearer {desk.token()[:-2]}")
    assert_problem(answer, 401, "unauthenticated")


def test_a_console_never_seals(desk: Desk) -> None:
    plain = {"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "e30="}
    answer = desk.ask({"payloads": [plain]}, "/encode")
    assert assert_problem(answer, 403, "forbidden")["reason"] == "read_only"
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert_problem(desk.ask({"payloads": [plain]}, "/download"), 404, "not_found")
    wrong = desk.http.get("/decode", headers={"Origin": ORIGIN})
    assert_problem(wrong, 405, "method_not_allowed")


def test_one_operator_cannot_ask_without_end() -> None:
    rate = Rate(bound=3)
    for _ in range(3):
        rate.hit("olga")
    with pytest.raises(Refused) as caught:
        for _ in range(4):
            rate.hit("olga")
    assert caught.value.code is Code.RATE_LIMITED and caught.value.retry_after
    rate.hit("otto")


def _sign_in(desk: Desk, token: str, **headers: str) -> httpx2.Response:
    usual = {"Origin": desk.server.url, "Authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=desk.server.url) as http:
        return http.post("/session", headers={**usual, **headers})


def test_signing_in_once_for_a_cookie(desk: Desk) -> None:
    token = desk.token("operator", name="ines")
    done = _sign_in(desk, token)
    assert done.status_code == 204, done.text
    cookie, *attributes = done.headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/decode"} <= set(attributes)
    assert int(dict(a.split("=") for a in attributes if "=" in a)["Max-Age"]) <= 28800
    assert token not in cookie
    (found,) = desk.decode(desk.sealed(), Authorization=None, Cookie=cookie)
    assert data(found)["votes"]
    assert desk.lines("payloads_decoded")[-1]["who"] == "ines"
    asked = desk.ask({"payloads": []}, Authorization=None, Cookie=cookie)
    assert asked.headers["Access-Control-Allow-Credentials"] == "true"
    # A cookie does not make another page's request ours.
    evil = desk.ask({}, Authorization=None, Cookie=cookie, Origin="http://evil.example")
    assert_problem(evil, 403, "forbidden")
    assert_problem(_sign_in(desk, token), 401, "unauthenticated")
    changed = cookie[:-1] + ("A" if cookie[-1] != "A" else "B")
    answer = desk.ask({}, Authorization=None, Cookie=changed)
    assert_problem(answer, 401, "unauthenticated")


def test_another_page_cannot_sign_in(desk: Desk) -> None:
    for origin in (ORIGIN, "null", "http://evil.example"):
        answer = _sign_in(desk, desk.token(), Origin=origin)
        assert_problem(answer, 403, "forbidden")
        assert "Set-Cookie" not in answer.headers
    assert_problem(_sign_in(desk, desk.token("voter")), 403, "forbidden")
    assert_problem(_sign_in(desk, desk.election.jwt("v0")), 401, "unauthenticated")


def test_the_page_of_a_link_runs_its_own_script_alone(desk: Desk) -> None:
    page = desk.http.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    nonce = policy.split("script-src 'nonce-")[1].split("'")[0]
    assert page.text.count(f'<script nonce="{nonce}">') == page.text.count("<script")
    assert desk.http.get("/").headers["Content-Security-Policy"] != policy
    assert "access-control-allow-origin" not in page.headers


def test_production_takes_tokens_alone(desk: Desk) -> None:
    """No page, no cookie, no credentials; and never the development issuer."""
    app = TestApp(make_app(_production(desk)))

    def ask(path: str, method: str) -> Any:
        headers = {"Origin": SECURE_ORIGIN, "Cookie": "votepyramid-codec=x"}
        return app.request(path, method=method, headers=headers, status="*")

    assert ask("/", "GET").status_int == 404
    assert ask("/session", "POST").status_int == 404
    assert ask("/decode", "POST").status_int == 401
    preflight = ask("/decode", "OPTIONS")
    assert preflight.status_int == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == SECURE_ORIGIN
    assert "Access-Control-Allow-Credentials" not in preflight.headers
    signs_anyone_in = _production(desk, operator_issuer="votepyramid-dev")
    with pytest.raises(SettingsError, match="operator_issuer"):
        make_app(signs_anyone_in)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "*",
        "null",
        "console.example",
        "https://console.example/",
        "https://console.example/path",
        "https://user@console.example",
        "https://CONSOLE.example",
        "https://console.example:443",
        "https://a.example https://b.example",
        "ftp://console.example",
        "http://console.example",
        "https://console.example:99999",
    ],
)
def test_only_one_exact_origin_can_be_set(desk: Desk, origin: str) -> None:
    make_services(_production(desk))
    with pytest.raises(SettingsError, match="codec_origin"):
        make_services(_production(desk, codec_origin=origin))


def test_it_needs_no_database_and_no_key_encryption_key(desk: Desk) -> None:
    without = dataclasses.replace(_production(desk), database_url="", kek_file="")
    assert make_services(without).sessions is None


def test_it_stops_on_sigterm(desk: Desk, tmp_path: Path) -> None:
    server = start(dict(desk.engine.env), tmp_path, "stopped")
    assert server.terminate() == 0
