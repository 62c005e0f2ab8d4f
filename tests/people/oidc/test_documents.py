"""What a provider answers besides, or fails to answer."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.eligibility.tokens import Provider as Keys
from tests.jose.test_key_sets import Clock, Https
from tests.people.conftest import at_once
from tests.people.oidc.hostile import DISCOVERY, Hostile
from tests.people.oidc.visits import Visit, us
from tests.support.processes import eventually
from votepyramid.jose import sources
from votepyramid.jose.sources import SourceError
from votepyramid.people.errors import Busy, ProviderAway, ProviderRefused
from votepyramid.people.oidc import discovery, flow
from votepyramid.people.oidc.requests import Asked


def _body(**members: Any) -> tuple[int, bytes]:
    return 200, json.dumps(members).encode()


REFUSED = {
    "no members": _body(),
    "no ID token": _body(token_type="Bearer", access_token="a"),
    "an ID token of numbers": _body(token_type="Bearer", id_token=[1]),
    "another type": _body(token_type="mac", id_token="a.b.c"),
    "no type": _body(id_token="a.b.c"),
    "no token at all": _body(token_type="Bearer", id_token="x" * 10_000),
    "a list": (200, b"[]"),
    "an error of its own": (400, b'{"error": "<script>alert(1)</script>"}'),
    "an error of numbers": (401, b'{"error": [1]}'),
}
AWAY = {
    "a fault": (500, b"{}"),
    "a redirect": (302, b""),
    "not found": (404, b"{}"),
    "no JSON": (200, b"<html>"),
    "a member twice": (200, b'{"id_token": "a", "id_token": "b"}'),
    "too much": (200, b" " * 70_000),
    "without end": None,
}


def patience(how: str) -> float:
    """Short where there is nothing to wait for."""
    return 2.0 if AWAY[how] is None else 5.0


@pytest.mark.parametrize("how", REFUSED)
def test_a_token_endpoint_that_gives_no_token(
    visit: Visit, posing: Hostile, logged: list[dict[str, Any]], how: str
) -> None:
    posing.said["/token"] = REFUSED[how]
    with pytest.raises(ProviderRefused):
        visit.finish()
    assert "script" not in str(logged)


@pytest.mark.parametrize("how", AWAY)
def test_a_token_endpoint_in_trouble(shared: Engine, posing: Hostile, how: str) -> None:
    visit = Visit(shared, us(posing.issuer, seconds=patience(how)))
    posing.said["/token"] = AWAY[how]
    with pytest.raises(ProviderAway):
        visit.finish()
    assert len(posing.sent) == 1


@pytest.mark.parametrize("path", [DISCOVERY, "/jwks"])
@pytest.mark.parametrize("how", AWAY)
def test_documents_in_trouble(
    shared: Engine, posing: Hostile, path: str, how: str
) -> None:
    posing.said[path] = AWAY[how]
    provider = us(posing.issuer, seconds=patience(how))
    with pytest.raises(ProviderAway):
        visit = Visit(shared, provider)
        posing.hand_out(posing.keys.rsa_token(visit.claims()))
        visit.finish()


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://elsewhere.example"},
        {"issuer": "https://id.example/"},
        {"issuer": None},
        {"token_endpoint": None},
        {"token_endpoint": ["https://id.example/token"]},
        {"token_endpoint": "http://id.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "/jwks"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https:///x"},
        {"authorization_endpoint": 'https://id.example/"><script>'},
        {"authorization_endpoint": "https://id.example/a b"},
        {"authorization_endpoint": "https://id.example/#part"},
        {"authorization_endpoint": "https://id.example/" + "x" * 2048},
    ],
    ids=repr,
)
def test_discovery_documents_that_are_refused(changes: dict[str, Any]) -> None:
    issuer = "https://id.example"
    made = Hostile(issuer)
    assert discovery.parse(made.document(), issuer).jwks_uri == f"{issuer}/jwks"
    with pytest.raises(SourceError):
        discovery.parse(made.document(**changes), issuer)


def test_where_the_document_is() -> None:
    for issuer in ("https://id.example/a", "https://id.example/a/"):
        found = discovery.address(issuer)
        assert found == "https://id.example/a/.well-known/openid-configuration"


def test_keys_that_change(shared: Engine, posing: Hostile) -> None:
    clock = Clock()
    provider = us(posing.issuer, clock=clock)
    before = Visit(shared, provider)
    posing.hand_out(posing.keys.rsa_token(before.claims()))
    assert before.finish().subject == "4711"
    rotated = Keys()
    header = {"alg": "RS256", "kid": "newer"}
    newer = {**rotated.rsa_jwk(), "kid": "newer"}
    posing.said["/jwks"] = 200, json.dumps({"keys": [newer]}).encode()
    # A key that is not known is looked for, but not at any stranger's pace.
    for pause, well in ((0, False), (sources.MIN_PAUSE, True)):
        clock.now += pause
        visit = Visit(shared, provider)
        posing.hand_out(rotated.rsa_token(visit.claims(), header))
        if well:
            assert visit.finish().subject == "4711"
        else:
            with pytest.raises(ProviderRefused):
                visit.finish()
    # The one that was withdrawn is good for nothing any more.
    after = Visit(shared, provider)
    posing.hand_out(posing.keys.rsa_token(after.claims()))
    with pytest.raises(ProviderRefused):
        after.finish()


def test_a_document_that_moves_the_keys(shared: Engine, posing: Hostile) -> None:
    clock = Clock()
    provider = us(posing.issuer, clock=clock)
    before = Visit(shared, provider)
    posing.hand_out(posing.keys.rsa_token(before.claims()))
    before.finish()
    moved = posing.document(jwks_uri=f"{posing.issuer}/other")
    posing.said[DISCOVERY] = 200, moved
    other = Keys()
    posing.said["/other"] = 200, json.dumps(other.jwks()).encode()
    clock.now += sources.MAX_AGE
    visit = Visit(shared, provider)
    posing.hand_out(other.rsa_token(visit.claims()))
    assert visit.finish().subject == "4711"


def test_an_untrusted_certificate(shared: Engine, tmp_path: Path) -> None:
    server = Https(tmp_path, {})
    document = Hostile(server.url).document()
    server.answers[DISCOVERY] = 200, document
    trusted = us(server.url, ssl_context=server.trust)
    assert flow.begin(shared, trusted, Asked("sign_in")).address.startswith(server.url)
    with pytest.raises(ProviderAway):
        flow.begin(shared, us(server.url), Asked("sign_in"))
    server.stop()


def test_one_that_hangs_holds_few(shared: Engine, posing: Hostile) -> None:
    """Whoever comes while four wait for it is told to come back."""
    posing.said["/token"] = None
    came = [Visit(shared, us(posing.issuer)) for _ in range(6)]
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(one.finish) for one in came[:4]]
        assert eventually(lambda: len(posing.sent) == 4)
        for outcome in at_once([one.finish for one in came[4:]]):
            assert isinstance(outcome, Busy)
        assert len(posing.sent) == 4
        for one in waiting:
            assert isinstance(one.exception(), ProviderAway)
