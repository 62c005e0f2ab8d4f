"""Going to a real OpenID provider and coming back: once, and in one browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.people.conftest import PASSWORD
from tests.people.oidc.conftest import Browser, Desk, us
from tests.support import openid
from tests.support.databases import Database
from tests.support.openid import OpenIdProvider
from votepyramid.db import make_engine
from votepyramid.people import identities, service, setup
from votepyramid.people.errors import (
    ProviderAway,
    ProviderDeclined,
    ProviderRefused,
)
from votepyramid.people.oidc import flow, requests
from votepyramid.people.oidc.flow import Answer
from votepyramid.people.oidc.provider import Provider
from votepyramid.people.oidc.requests import Asked


def test_what_the_provider_is_asked_for(desk: Desk, there: OpenIdProvider) -> None:
    desk.visit(Browser("x"), Asked("sign_in"))
    asked = there.asked[-1]
    assert asked.keys() == {
        *("tenant", "response_type", "client_id", "redirect_uri", "scope"),
        *("state", "nonce", "code_challenge", "code_challenge_method", "max_age"),
    }
    assert (asked["scope"], asked["code_challenge_method"]) == ("openid", "S256")
    secrets = [asked[name] for name in ("state", "nonce", "code_challenge")]
    assert all(re.fullmatch(r"[\w-]{43}", one) for one in secrets)
    assert len(set(secrets)) == 3
    assert asked["max_age"] == str(12 * 60 * 60)
    # Who is bound or signs in again is asked there, too.
    for purpose in ("bind", "sign_in_again"):
        desk.visit(Browser("x"), Asked(purpose))
        asked = there.asked[-1]
        assert (asked["prompt"], asked["max_age"]) == ("login", "0")


def test_an_answer_counts_in_the_browser_that_went_there(desk: Desk) -> None:
    engine, provider = desk.engine, desk.provider
    mine = flow.begin(engine, provider, Asked("sign_in"))
    another = flow.begin(engine, provider, Asked("sign_in"))
    answer = Browser("4711").go(mine)
    for kept in (None, "", "x", another.secret, mine.secret + "="):
        with pytest.raises(ProviderRefused):
            flow.finish(engine, provider, kept, answer)
    # None of these used it up.
    asked, identity = flow.finish(engine, provider, mine.secret, answer)
    assert (asked, identity.subject) == (Asked("sign_in"), "4711")
    # It is good once, also with another code.
    for late in (answer, Browser("4711").go(mine)):
        with pytest.raises(ProviderRefused):
            flow.finish(engine, provider, mine.secret, late)


def test_a_code_counts_for_who_asked_for_it(desk: Desk) -> None:
    """Put into another's answer, PKCE keeps it from being redeemed."""
    engine, provider = desk.engine, desk.provider
    theirs = Browser("4711").go(flow.begin(engine, provider, Asked("sign_in")))
    mine = flow.begin(engine, provider, Asked("sign_in"))
    own = Browser("4712").go(mine)
    mixed = Answer(own.state, theirs.code, None, own.issuer)
    with pytest.raises(ProviderRefused):
        flow.finish(engine, provider, mine.secret, mixed)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"state": None}, ProviderRefused),
        ({"state": "x" * 43}, ProviderRefused),
        ({"state": "é"}, ProviderRefused),
        ({"code": None}, ProviderRefused),
        ({"code": "x"}, ProviderRefused),
        ({"code": "x" * 4096}, ProviderRefused),
        ({"issuer": None}, ProviderRefused),
        ({"issuer": "https://elsewhere.example"}, ProviderRefused),
        ({"code": None, "error": "access_denied"}, ProviderDeclined),
        ({"error": "<script>"}, ProviderDeclined),
    ],
    ids=repr,
)
def test_answers_that_are_refused(
    desk: Desk,
    logged: list[dict[str, Any]],
    change: dict[str, Any],
    error: type[Exception],
) -> None:
    leaving = flow.begin(desk.engine, desk.provider, Asked("sign_in"))
    answer = Browser("4711").go(leaving)
    changed = Answer(**{**vars(answer), **change})
    with pytest.raises(error):
        flow.finish(desk.engine, desk.provider, leaving.secret, changed)
    (line,) = [line for line in logged if line["event"].startswith("identity_")]
    # A kind, and nothing that was sent.
    assert line["why"] != "<script>"
    assert str(answer.code) not in str(logged) and leaving.secret not in str(logged)


def test_who_refuses_there_is_not_signed_in(desk: Desk) -> None:
    leaving = flow.begin(desk.engine, desk.provider, Asked("sign_in"))
    answer = Browser("4711").go(leaving, refuse=True)
    assert answer.error == "access_denied"
    with pytest.raises(ProviderDeclined):
        flow.finish(desk.engine, desk.provider, leaving.secret, answer)


def test_it_is_late_after_ten_minutes(desk: Desk, sql: Callable[..., Any]) -> None:
    leaving = flow.begin(desk.engine, desk.provider, Asked("sign_in"))
    sql("UPDATE people_oidc_requests SET created_at = now() - interval '10 min 1 s'")
    with pytest.raises(ProviderRefused):
        flow.finish(
            desk.engine, desk.provider, leaving.secret, Browser("4711").go(leaving)
        )


def test_one_process_begins_and_another_ends(
    desk: Desk, database: Database, there: OpenIdProvider
) -> None:
    leaving = flow.begin(desk.engine, desk.provider, Asked("sign_in", "/work"))
    elsewhere = make_engine(database.admin_url, pool_size=1)
    other = Provider(desk.provider.client)
    asked, identity = flow.finish(
        elsewhere, other, leaving.secret, Browser("4711").go(leaving)
    )
    elsewhere.dispose()
    assert (asked.next, identity.subject) == ("/work", "4711")


def test_strangers_fill_no_table(
    desk: Desk, sql: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MOST", 3)
    begun = [requests.begin(desk.engine, Asked("sign_in")) for _ in range(5)]
    assert sql("SELECT count(*) FROM people_oidc_requests") == [(3,)]
    assert [requests.take(desk.engine, one) is None for one in begun] == [
        *(True, True, False, False, False)
    ]
    requests.begin(desk.engine, Asked("sign_in"))
    sql("UPDATE people_oidc_requests SET created_at = now() - interval '11 min'")
    requests.begin(desk.engine, Asked("sign_in"))
    assert sql("SELECT count(*) FROM people_oidc_requests") == [(1,)]


def test_no_secret_is_stored_or_logged(
    desk: Desk, sql: Callable[..., Any], logged: list[dict[str, Any]]
) -> None:
    link = setup.first_setup_link(desk.engine)
    known = setup.usable(desk.engine, link.secret, "ada")
    asked = Asked("set_up", setup=known, name="ada")
    leaving = flow.begin(desk.engine, desk.provider, asked)
    proofs = requests.proofs(leaving.secret)
    kept = str(sql("SELECT people_oidc_requests::text FROM people_oidc_requests"))
    answer = Browser("4711").go(leaving)
    _, identity = flow.finish(desk.engine, desk.provider, leaving.secret, answer)
    setup.accept_identity(desk.engine, known, "ada", identity)
    me = desk.sign_in("4711")
    service.set_password(desk.engine, "ada", PASSWORD)
    identities.remove(desk.engine, me, identity.issuer)
    kept += str(sql("SELECT people_identities::text FROM people_identities"))
    secrets = [leaving.secret, proofs.state, proofs.nonce, proofs.verifier, answer.code]
    for secret in (*secrets, desk.provider.client.secret, link.secret):
        assert secret and secret not in kept + str(logged)
    assert "4711" not in str(logged)
    assert desk.provider.client.secret not in repr((desk.provider.client, answer))
    assert [line["event"] for line in logged] == [
        "first_setup_link_made",
        "first_administrator_set_up",
        "person_signed_in_elsewhere",
        "person_password_set",
        "identity_removed",
    ]


def test_a_wrong_secret_is_our_fault_and_signs_nobody_in(
    engine: Engine, there: OpenIdProvider, logged: list[dict[str, Any]]
) -> None:
    provider = us(there, secret="right")
    there.clients[provider.client.id].secret = "wrong"
    with pytest.raises(ProviderRefused):
        Desk(engine, provider).visit(Browser("4711"), Asked("sign_in"))
    assert logged[-1]["why"] == "the token endpoint said invalid_client"


def test_a_provider_that_is_away(engine: Engine, logged: list[dict[str, Any]]) -> None:
    with openid.running() as there:
        provider = us(there)
        leaving = flow.begin(engine, provider, Asked("sign_in"))
        answer = Browser("4711").go(leaving)
        fresh = Provider(provider.client)
    with pytest.raises(ProviderAway, match=r"127.0.0.1 does not answer.*passphrase"):
        flow.finish(engine, provider, leaving.secret, answer)
    with pytest.raises(ProviderAway):
        flow.begin(engine, fresh, Asked("sign_in"))
    events = [line["event"] for line in logged]
    assert events.count("identity_provider_away") == 2
