"""A real OpenID provider over HTTP, and people at its page and at ours.

Their browser is an HTTP client that follows nothing by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from sqlalchemy import Engine

from tests.people.conftest import PASSWORD
from tests.people.oidc import hostile, visits
from tests.people.oidc.hostile import Hostile
from tests.people.oidc.visits import Visit
from tests.support import openid
from tests.support.databases import Database
from tests.support.openid import OpenIdProvider
from votepyramid.db import make_engine
from votepyramid.people import identities, sessions, setup
from votepyramid.people.oidc import flow
from votepyramid.people.oidc.flow import Answer, Leaving
from votepyramid.people.oidc.id_tokens import Identity
from votepyramid.people.oidc.provider import Client, Provider
from votepyramid.people.oidc.requests import Asked
from votepyramid.people.sessions import Session
from votepyramid.people.signing_in import sign_in
from votepyramid.settings import Settings

ORIGIN = "https://admin.example.org"


@pytest.fixture(scope="module")
def running() -> Iterator[OpenIdProvider]:
    with openid.running() as provider:
        yield provider


@pytest.fixture
def there(running: OpenIdProvider) -> OpenIdProvider:
    """The provider, as it is at first."""
    running.tells_time = running.heeds_prompt = True
    running.since = 0
    running.asked.clear()
    return running


def us(there: OpenIdProvider, *, secret: str = "s: %+é") -> Provider:
    """What a process of ours has, as a client of its own."""
    known = there.register(ORIGIN, secret=secret)
    settings = Settings(
        environment="development",
        oidc_issuer=there.issuer,
        oidc_client_id=known.id,
        oidc_client_secret=secret,
    )
    client = Client.of(settings, ORIGIN)
    assert client is not None
    return Provider(client)


@dataclass
class Browser:
    """Somebody's, with the cookies that the provider gave it."""

    who: str
    client: httpx2.Client = field(default_factory=httpx2.Client)

    def go(self, leaving: Leaving, *, refuse: bool = False) -> Answer:
        """There and back: the provider's page is filled in where it is shown."""
        answer = self.client.get(leaving.address)
        if answer.status_code == 200:
            form = {"who": self.who, **({"refuse": "1"} if refuse else {})}
            answer = self.client.post(leaving.address, data=form)
        assert answer.status_code == 302, answer.text
        back = urlsplit(answer.headers["location"])
        assert f"{back.scheme}://{back.netloc}{back.path}" == (
            f"{ORIGIN}/sign-in/callback"
        )
        said = {name: value for name, (value,) in parse_qs(back.query).items()}
        return Answer(*(said.get(name) for name in ("state", "code", "error", "iss")))


@dataclass
class Desk:
    """The engine and the provider as one of our processes has them."""

    engine: Engine
    provider: Provider

    def visit(self, browser: Browser, asked: Asked) -> Identity:
        leaving = flow.begin(self.engine, self.provider, asked)
        back, identity = flow.finish(
            self.engine, self.provider, leaving.secret, browser.go(leaving)
        )
        assert back == asked
        return identity

    def sign_in(self, who: str) -> Session:
        """A new browser, and a session as the pages open one."""
        identity = self.visit(Browser(who), Asked("sign_in"))
        person = identities.sign_in(self.engine, identity)
        opened = sessions.open(self.engine, person.id, since=identity.since)
        return sessions.read(self.engine, opened.secret)

    def with_passphrase(self, name: str) -> Session:
        opened = sessions.open(self.engine, sign_in(self.engine, name, PASSWORD).id)
        return sessions.read(self.engine, opened.secret)

    def set_up(self, link: setup.Link, name: str, who: str) -> None:
        known = setup.usable(self.engine, link.secret, name)
        asked = Asked("set_up", setup=known, name=name)
        identity = self.visit(Browser(who), asked)
        setup.accept_identity(self.engine, known, name, identity)


@pytest.fixture
def desk(engine: Engine, there: OpenIdProvider) -> Desk:
    return Desk(engine, us(there))


@pytest.fixture(scope="module")
def hostile_server() -> Iterator[Hostile]:
    with hostile.running() as provider:
        yield provider


@pytest.fixture
def posing(hostile_server: Hostile) -> Hostile:
    """A provider of the tests' own, as it is at first."""
    hostile_server.behave()
    return hostile_server


@pytest.fixture(scope="module")
def shared(module_database: Database) -> Iterator[Engine]:
    """An engine for tests that do not look at what others left."""
    engine = make_engine(module_database.admin_url, pool_size=8)
    yield engine
    engine.dispose()


@pytest.fixture
def visit(shared: Engine, posing: Hostile) -> Visit:
    return Visit(shared, visits.us(posing.issuer))
