"""Whatever is wrong with a request: a problem document, and never a secret in it."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from tests.support.voting import PROBLEM, Door, assert_problem
from tests.web.conftest import Site
from votepyramid.web.tweens import HEADERS

VOTE = "/api/elections/demo/vote/"
CLAIM = "/api/elections/demo/tokens/claim/"
ZEROS = "0" * 64


@pytest.fixture(scope="module")
def cast(site: Site) -> dict[str, Any]:
    """The members of a cast that nothing is wrong with. It is never sent."""
    return site.door.ballot("v30").body()


def test_an_unknown_address(http: httpx2.Client) -> None:
    for path in (
        "/",
        "/nothing",
        "/api/elections/demo",
        "//api/elections/demo/",
        "/api//elections/demo/",
        "/api/elections/demo/vote",
        "/api/elections/demo/..%2fdemo/",
        "/api/elections//",
        "/health/live/",
        "/static/../etc/passwd",
    ):
        assert_problem(http.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/elections/demo/", "GET, HEAD"),
        ("/api/elections/demo/manifest/", "GET, HEAD"),
        (CLAIM, "POST"),
        (VOTE, "POST"),
        (f"/api/elections/demo/receipt/{ZEROS}/", "GET, HEAD"),
        ("/health/live", "GET, HEAD"),
        ("/health/ready", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
    ],
)
def test_another_method(http: httpx2.Client, path: str, allowed: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        if method in allowed:
            continue
        answer = http.request(method, path)
        assert_problem(answer, 405, "method_not_allowed")
        assert answer.headers["Allow"] == allowed


def test_head_is_get_without_its_body(http: httpx2.Client) -> None:
    for path in ("/api/elections/demo/", "/health/live", "/nothing"):
        got, head = http.get(path), http.head(path)
        assert head.status_code == got.status_code
        assert head.content == b""
        assert head.headers["Content-Type"] == got.headers["Content-Type"]
        assert head.headers["Content-Length"] == got.headers["Content-Length"]
    refused = http.head(VOTE)
    assert refused.status_code == 405
    assert refused.headers["Allow"] == "POST"


def test_an_address_that_is_not_utf8(http: httpx2.Client) -> None:
    for path in (
        "/api/elections/%ff/",
        "/api/elections/demo/receipt/%c3%28/",
        "/%80",
    ):
        document = assert_problem(http.get(path), 400, "malformed")
        assert document["errors"] == [
            {"field": "", "problem": "the address is not UTF-8"}
        ]
    # What is no escape stands for itself.
    assert_problem(http.get("/api/elections/%zz/"), 404, "election_unknown")


@pytest.mark.parametrize(
    "election",
    [
        "nobodys",
        "DEMO",
        "d%C3%A9mo",
        "a%00b",
        "demo%20",
        "x" * 65,
        "x" * 20_000,
        "%E2%82%AC",
    ],
)
def test_an_unknown_election(
    site: Site, http: httpx2.Client, cast: dict[str, Any], election: str
) -> None:
    base = f"/api/elections/{election}"
    signed_in = {"Authorization": f"Bearer {site.election.jwt('v30')}"}
    for answer in (
        http.get(f"{base}/"),
        http.get(f"{base}/manifest/"),
        http.post(f"{base}/tokens/claim/", json={}, headers=signed_in),
        http.post(f"{base}/vote/", json=cast),
    ):
        assert_problem(answer, 404, "election_unknown")
    answer = http.get(f"{base}/receipt/{ZEROS}/")
    assert_problem(answer, 404, "receipt_unknown")


@pytest.mark.parametrize(
    "receipt_hash",
    ["0" * 63, "0" * 65, "G" * 64, "A" * 64, "%00" * 64, "%D9%A0" * 64],
)
def test_a_receipt_hash_in_another_spelling(
    http: httpx2.Client, receipt_hash: str
) -> None:
    answer = http.get(f"/api/elections/demo/receipt/{receipt_hash}/")
    document = assert_problem(answer, 400, "malformed")
    assert document["errors"] == [
        {"field": "receipt_hash", "problem": "not 64 lowercase hex digits"}
    ]


BODIES = {
    "empty": (b"", "not a JSON text"),
    "space": (b"  \n", "not a JSON text"),
    "cut off": (b'{"token":', "not a JSON text"),
    "two values": (b"{} {}", "not a JSON text"),
    "not UTF-8": (b'{"token":"\xff"}', "JSON text is not UTF-8"),
    "UTF-16": ('{"token":""}'.encode("utf-16"), "JSON text is not UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf{}", "not a JSON text"),
    "lone surrogate": (b'{"token":"\\ud800"}', "JSON text holds a lone surrogate"),
    "NUL": (b'{"token":"\\u0000"}', "JSON text holds U+0000"),
    "repeated key": (b'{"token":"a","token":"a"}', "a JSON object repeats a key"),
    "repeated below": (b'{"x":{"a":1,"a":1}}', "a JSON object repeats a key"),
    "NaN": (b'{"token":NaN}', "JSON has no NaN and no infinities"),
    "infinity": (b'{"token":-Infinity}', "JSON has no NaN and no infinities"),
    "huge number": (b'{"token":1e999}', "a JSON number is too large"),
    "long number": (b'{"token":%s}' % (b"9" * 5000), "a JSON integer is 2**53 or more"),
    "deep": (b"[" * 60_000, "JSON is nested too deep"),
    "deep and closed": (b"[" * 40 + b"]" * 40, "JSON is nested too deep"),
    "a list": (b"[]", "must be an object"),
    "null": (b"null", "must be an object"),
    "a string": (b'"token"', "must be an object"),
    "a number": (b"1", "must be an object"),
    "unknown member": (b'{"nobody":1}', "has members that are not known here"),
}


@pytest.mark.parametrize(
    ("path", "name"),
    [(VOTE, name) for name in BODIES]
    # What is longer than a claim may be is another refusal.
    + [(CLAIM, name) for name, (body, _) in BODIES.items() if len(body) <= 4096],
)
def test_a_malformed_body(
    site: Site, http: httpx2.Client, path: str, name: str
) -> None:
    body, problem = BODIES[name]
    answer = http.post(
        path,
        content=body,
        headers={
            "Content-Type": "application/json",
            "Authorization": f"Bearer {site.election.jwt('v30')}",
        },
    )
    document = assert_problem(answer, 400, "malformed")
    assert document["errors"] == [{"field": "", "problem": problem}]


@pytest.mark.parametrize(
    "member", ["token", "payload", "style", "suite", "key_id", "manifest_hash"]
)
def test_a_member_of_a_cast(site: Site, cast: dict[str, Any], member: str) -> None:
    for wrong in (None, 1, True, 1.5, [], {}, [cast[member]], "ü", cast[member] + "="):
        document = assert_problem(
            site.door.post({**cast, member: wrong}), 400, "malformed"
        )
        assert [error["field"] for error in document["errors"]] == [member]
    without = {name: value for name, value in cast.items() if name != member}
    document = assert_problem(site.door.post(without), 400, "malformed")
    assert document["errors"] == [{"field": member, "problem": "Required"}]


def test_every_wrong_member_is_named(site: Site) -> None:
    document = assert_problem(
        site.door.post({"token": 1, "style": "x y"}), 400, "malformed"
    )
    assert {error["field"] for error in document["errors"]} == {
        "token",
        "payload",
        "style",
        "suite",
        "key_id",
        "manifest_hash",
    }


@pytest.mark.parametrize(
    ("member", "spelling"),
    [
        ("token", lambda text: text.upper()),
        ("token", lambda text: text.replace("-", "")),
        ("token", lambda text: "{" + text + "}"),
        ("token", lambda text: "urn:uuid:" + text),
        ("token", lambda text: text + "\n"),
        ("payload", lambda text: text + "=="),
        ("payload", lambda text: text + "\n"),
        ("payload", lambda text: "+" + text[1:]),
        ("payload", lambda text: text[:-1] + chr(ord(text[-1]) + 1)),
        ("key_id", lambda text: text.upper()),
        ("key_id", lambda text: "0x" + text[2:]),
        ("manifest_hash", lambda text: text.upper()),
        ("style", lambda text: text.upper()),
        ("style", lambda text: text + " "),
    ],
)
def test_another_spelling(
    site: Site, cast: dict[str, Any], member: str, spelling: Any
) -> None:
    other = spelling(cast[member])
    assert other != cast[member]
    document = assert_problem(site.door.post({**cast, member: other}), 400, "malformed")
    assert document["errors"][0]["field"] == member


def test_a_body_over_the_limit(site: Site, http: httpx2.Client) -> None:
    signed_in = {"Authorization": f"Bearer {site.election.jwt('v30')}"}
    for path, limit in ((VOTE, 128 * 1024), (CLAIM, 4 * 1024)):
        headers = {"Content-Type": "application/json", **signed_in}
        at = http.post(path, content=b" " * limit, headers=headers)
        assert_problem(at, 400, "malformed")
        over = http.post(path, content=b" " * (limit + 1), headers=headers)
        assert assert_problem(over, 413, "too_large")["limit"] == limit

        def chunks(size: int = limit) -> Any:
            for _ in range(size // 1024 + 1):
                yield b" " * 1024

        # Without a length in advance.
        unsized = http.post(path, content=chunks(), headers=headers)
        assert assert_problem(unsized, 413, "too_large")["limit"] == limit


def test_another_media_type(site: Site, http: httpx2.Client) -> None:
    signed_in = {"Authorization": f"Bearer {site.election.jwt('v30')}"}
    for media_type in (
        None,
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/problem+json",
        "*/*",
    ):
        headers = signed_in | (
            {"Content-Type": media_type} if media_type is not None else {}
        )
        for path in (VOTE, CLAIM):
            answer = http.post(path, content=b"{}", headers=headers)
            assert_problem(answer, 415, "unsupported_media_type")
    for media_type in ("application/json; charset=utf-8", "Application/JSON"):
        answer = http.post(
            CLAIM, content=b"{}", headers={**signed_in, "Content-Type": media_type}
        )
        assert answer.status_code == 200, answer.text


def test_signing_in_comes_before_anything_else(http: httpx2.Client) -> None:
    for headers in (
        {},
        {"Authorization": ""},
        {"Authorization": "Basic dm90ZXI6eA=="},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": b"Bearer \xff\xfe"},
    ):
        answer = http.post(CLAIM, content=b"not even json", headers=headers)
        assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_every_answer_is_dressed(site: Site, http: httpx2.Client) -> None:
    answers = [
        http.get("/health/live"),
        http.get("/metrics"),
        http.get("/nothing"),
        http.get("/api/elections/%ff/"),
        http.delete(VOTE),
        http.post(VOTE, content=b"{}"),
        http.post(CLAIM, json={}),
        http.get("/api/elections/demo/"),
    ]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert "Set-Cookie" not in answer.headers
        assert "Server" not in answer.headers
    ids = {answer.headers["X-Request-Id"] for answer in answers}
    assert len(ids) == len(answers)
    # The caller's own id is not taken over: it could be anything.
    sent = http.get("/health/live", headers={"X-Request-Id": "mine"})
    assert sent.headers["X-Request-Id"] != "mine"
    site.engine.web.wait_for_log(answers[2].headers["X-Request-Id"])


def test_no_secret_comes_back_or_is_logged(site: Site, http: httpx2.Client) -> None:
    door = site.door
    ballot = door.ballot("v31")
    bearer, jwt = str(ballot.bearer), site.election.jwt("v31")
    body = ballot.body()
    payload = body["payload"]
    signed_in = {"Authorization": f"Bearer {jwt}"}
    answers = [
        http.get(f"/{bearer}?token={bearer}"),
        http.get(f"/api/elections/{bearer}/"),
        http.get(f"/api/elections/demo/receipt/{bearer}/"),
        http.post(f"{VOTE}?token={bearer}", content=b"{", headers={"Referer": bearer}),
        http.post(VOTE, json={**body, bearer: 1}),
        http.post(VOTE, json={**body, "style": bearer.upper()}),
        http.post(VOTE, json={**body, "token": bearer.upper()}),
        http.post(VOTE, json={**body, "payload": payload + "="}),
        http.post(VOTE, json={**body, "style": "south"}),
        http.post(VOTE, content=json.dumps(body).encode() + b"]"),
        http.post(CLAIM, json={"style": 1, "voter": "v31"}, headers=signed_in),
        http.post(CLAIM, json={}, headers={"Authorization": f"Bearer {jwt}x"}),
        door.claim("not-on-the-roster-31"),
        door.claim("v32", style="south"),
    ]
    assert door.cast(ballot).status_code == 200
    answers.append(door.cast(door.seal(ballot.bearer)))
    for answer in answers:
        assert answer.status_code in (400, 401, 403, 404, 409, 415, 422), answer.text
        assert answer.headers["Content-Type"] == PROBLEM
    said = [answer.text + str(answer.headers) for answer in answers]
    signature = jwt.rsplit(".", 1)[1]
    last = answers[-1].headers["X-Request-Id"]
    site.engine.web.wait_for_log(last)
    for text in (*said, site.engine.log_text()):
        for secret in (bearer, bearer.upper(), jwt, signature, payload, payload[:40]):
            assert secret not in text
        assert "not-on-the-roster-31" not in text
        assert '"v31"' not in text


def test_a_bug_of_ours_says_nothing(site: Site) -> None:
    """A broken stored manifest: the caller learns no more than that we failed."""
    broken = site.engine.make_election(id="broken")
    with broken.sql() as db:
        db.execute(
            "UPDATE elections SET signed_manifest = 'nonsense', "
            "manifest_hash = sha256('other') WHERE id = 'broken'"
        )
    answer = Door(site.url, broken).http.get("/api/elections/broken/")
    document = assert_problem(answer, 500, "internal")
    assert set(document) == {"type", "title", "status", "code", "detail"}
    site.engine.web.wait_for_log('"event": "unexpected"')
    assert "Traceback" not in site.engine.web.log_text()
    assert "nonsense" not in site.engine.web.log_text()
