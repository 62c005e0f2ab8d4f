"""Security keys: registering, showing, and everything that is no good answer."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.people.conftest import add, at_once
from tests.people.software_key import PRESENT, SoftwareKey, unb64
from votepyramid.people import authenticators, service, sessions
from votepyramid.people.errors import (
    AuthenticatorKnown,
    AuthenticatorNameRefused,
    NoSuchAuthenticator,
    SecondFactorDue,
    SecondFactorRefused,
    SecondFactorUnavailable,
    SessionEnded,
    TooManyAuthenticators,
)
from votepyramid.people.second_factor import (
    MAX_ANSWER,
    MOST,
    begin_assertion,
    begin_registration,
    finish_assertion,
    finish_registration,
)
from votepyramid.people.sessions import Session

ORIGIN = "https://admin.example.org"
Sql = Callable[..., Any]
Logged = list[dict[str, Any]]


@dataclass
class Visit:
    """A session, as the pages have it: read anew for each request."""

    engine: Engine
    secret: str

    @property
    def session(self) -> Session:
        return sessions.read(self.engine, self.secret)

    def asked_to_register(self) -> str:
        return begin_registration(self.engine, self.session, ORIGIN)

    def keep(self, answer: str, name: str = "blue") -> None:
        finish_registration(self.engine, self.session, ORIGIN, name, answer)

    def register(self, name: str = "blue") -> SoftwareKey:
        key = SoftwareKey(ORIGIN)
        self.keep(key.create(self.asked_to_register()), name)
        return key

    def asked_to_show(self) -> str:
        return begin_assertion(self.engine, self.session, ORIGIN)

    def show(self, answer: str) -> None:
        finish_assertion(self.engine, self.session, ORIGIN, answer)


@pytest.fixture
def enter(engine: Engine) -> Callable[[str], Visit]:
    """A new session of somebody who has given their passphrase."""
    add(engine, "ada", "administrator")
    add(engine, "bob", "viewer")
    ids = {one.name: one.id for one in service.everybody(engine)}
    return lambda name: Visit(engine, sessions.open(engine, ids[name]).secret)


Enter = Callable[[str], Visit]


def test_a_key_is_registered_and_then_shown_in_each_session(
    enter: Enter, engine: Engine
) -> None:
    first, other = enter("ada"), enter("ada")
    assert authenticators.missing(first.session)
    assert not authenticators.due(first.session)
    key = first.register()
    # Whoever registers has shown it. The session beside it has not.
    assert not authenticators.missing(first.session)
    assert not authenticators.due(first.session)
    assert authenticators.due(other.session)
    for visit in (other, enter("ada")):
        assert authenticators.due(visit.session)
        visit.show(key.get(visit.asked_to_show()))
        given = visit.session.since_second_factor
        assert given is not None and 0 <= given < 60
        assert not authenticators.due(visit.session)
    (shown,) = authenticators.listed(engine, "ada")
    assert shown.name == "blue" and shown.last_used_at is not None
    # Nobody else's: bob needs none and has none.
    assert not authenticators.missing(enter("bob").session)
    assert not enter("bob").session.has_authenticator


def test_what_the_browser_is_asked(enter: Enter) -> None:
    ada = enter("ada")
    asked = json.loads(ada.asked_to_register())
    assert asked["rp"] == {"id": "admin.example.org", "name": "votepyramid"}
    assert asked["user"]["name"] == "ada"
    assert unb64(asked["user"]["id"]) == ada.session.person.bytes
    assert len(unb64(asked["challenge"])) == 32
    assert (asked["attestation"], asked["timeout"]) == ("none", 300_000)
    assert asked["excludeCredentials"] == []
    chosen = asked["authenticatorSelection"]
    assert (chosen["residentKey"], chosen["userVerification"]) == ("discouraged",) * 2
    key = ada.register()
    again = json.loads(ada.asked_to_register())
    assert unb64(again["excludeCredentials"][0]["id"]) == key.id
    shown = json.loads(ada.asked_to_show())
    assert (shown["rpId"], shown["userVerification"]) == (
        "admin.example.org",
        "discouraged",
    )
    assert [unb64(one["id"]) for one in shown["allowCredentials"]] == [key.id]


def test_an_answer_holds_once(enter: Enter) -> None:
    ada = enter("ada")
    key = ada.register()
    answer = key.get(ada.asked_to_show())
    done = at_once([partial(ada.show, answer)] * 4)
    assert done.count(None) == 1
    assert sum(isinstance(one, SecondFactorRefused) for one in done) == 3
    answer = SoftwareKey(ORIGIN).create(ada.asked_to_register())
    done = at_once([partial(ada.keep, answer, f"key {n}") for n in range(4)])
    assert done.count(None) == 1


def test_a_session_may_have_both_ceremonies_under_way(enter: Enter) -> None:
    ada = enter("ada")
    key, new = ada.register(), SoftwareKey(ORIGIN)
    shown, made = key.get(ada.asked_to_show()), new.create(ada.asked_to_register())
    ada.show(shown)
    ada.keep(made, "green")
    ada.show(new.get(ada.asked_to_show()))


def test_an_answer_is_for_one_session_one_purpose_and_five_minutes(
    enter: Enter, sql: Sql
) -> None:
    ada, other = enter("ada"), enter("ada")
    key = ada.register()
    answer = key.get(ada.asked_to_show())
    other.asked_to_show()
    with pytest.raises(SecondFactorRefused):
        other.show(answer)
    ada.asked_to_show()
    other_purpose = json.loads(ada.asked_to_register())["challenge"]
    with pytest.raises(SecondFactorRefused):
        ada.show(key.sign("admin.example.org", other_purpose))
    # A newer challenge takes the place of the older.
    older = key.get(ada.asked_to_show())
    newer = ada.asked_to_show()
    with pytest.raises(SecondFactorRefused):
        ada.show(older)
    # And was used up by the answer that did not hold.
    with pytest.raises(SecondFactorRefused):
        ada.show(key.get(newer))
    late = key.get(ada.asked_to_show())
    sql("UPDATE people_challenges SET expires_at = clock_timestamp()")
    with pytest.raises(SecondFactorRefused):
        ada.show(late)
    late = SoftwareKey(ORIGIN).create(ada.asked_to_register())
    sql("UPDATE people_challenges SET expires_at = clock_timestamp()")
    with pytest.raises(SecondFactorRefused):
        ada.keep(late, "green")
    ada.show(key.get(ada.asked_to_show()))


def _with(key: SoftwareKey, **changed: Any) -> SoftwareKey:
    return dataclasses.replace(key, **changed)


BAD: dict[str, Callable[[SoftwareKey, str], str]] = {
    "from another site": lambda key, asked: _with(
        key, origin="https://admin.example.com"
    ).get(asked),
    "over http": lambda key, asked: _with(key, origin="http://admin.example.org").get(
        asked
    ),
    "for another party": lambda key, asked: key.sign(
        "example.org", json.loads(asked)["challenge"]
    ),
    "of another ceremony": lambda key, asked: key.sign(
        "admin.example.org", json.loads(asked)["challenge"], "webauthn.create"
    ),
    "of another challenge": lambda key, _: key.sign("admin.example.org", "A" * 43),
    "untouched": lambda key, asked: _with(key, flags=0).get(asked),
    "signed by another": lambda key, asked: _with(
        key, private=SoftwareKey(ORIGIN).private
    ).get(asked),
    "of an unknown key": lambda key, asked: SoftwareKey(ORIGIN, count=9).sign(
        "admin.example.org", json.loads(asked)["challenge"]
    ),
    "empty": lambda *_: "",
    "no object": lambda *_: "[]",
    "nested": lambda *_: "[" * 60_000,
    "too long": lambda key, asked: key.get(asked) + " " * MAX_ANSWER,
    "without a signature": lambda key, asked: json.dumps(
        json.loads(key.get(asked)) | {"response": {}}
    ),
    "a registration": lambda key, asked: key.create(
        json.dumps(
            {
                "rp": {"id": "admin.example.org"},
                "challenge": json.loads(asked)["challenge"],
                "pubKeyCredParams": [{"alg": -7, "type": "public-key"}],
            }
        )
    ),
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_answer_is_refused_and_uses_the_challenge_up(
    enter: Enter, logged: Logged, how: str
) -> None:
    key = enter("ada").register()
    ada = enter("ada")
    asked = ada.asked_to_show()
    good = key.get(asked)
    with pytest.raises(SecondFactorRefused, match="begin again"):
        ada.show(BAD[how](key, asked))
    with pytest.raises(SecondFactorRefused):
        ada.show(good)
    assert authenticators.due(ada.session)
    refused = [line for line in logged if line["event"] == "second_factor_refused"]
    assert [line["person"] for line in refused] == ["ada", "ada"]


BAD_NEW: dict[str, Callable[[SoftwareKey, str], str]] = {
    "from another site": lambda key, asked: _with(
        key, origin="https://example.org"
    ).create(asked),
    "untouched": lambda key, asked: _with(key, flags=0).create(asked),
    "for another party": lambda key, asked: key.create(
        asked.replace('"admin.example.org"', '"example.org"')
    ),
    "nested": lambda *_: "[" * 60_000,
    "too long": lambda key, asked: key.create(asked) + " " * MAX_ANSWER,
    "cut off": lambda key, asked: key.create(asked)[:-20],
}


@pytest.mark.parametrize("how", BAD_NEW)
def test_a_bad_registration_is_refused(enter: Enter, engine: Engine, how: str) -> None:
    ada = enter("ada")
    with pytest.raises(SecondFactorRefused):
        ada.keep(BAD_NEW[how](SoftwareKey(ORIGIN), ada.asked_to_register()))
    assert authenticators.listed(engine, "ada") == []
    assert ada.session.since_second_factor is None


def test_another_persons_key_is_nobodys(enter: Enter) -> None:
    ada, bob = enter("ada"), enter("bob")
    ada.register()
    key = bob.register()
    ada.asked_to_show()
    # Also where the page is made to ask for it.
    asked = json.loads(ada.asked_to_show())
    with pytest.raises(SecondFactorRefused):
        ada.show(key.sign(asked["rpId"], asked["challenge"]))
    with pytest.raises(AuthenticatorKnown):
        ada.keep(key.create(ada.asked_to_register()), "green")


def test_a_copied_key_is_an_alarm(enter: Enter, logged: Logged) -> None:
    ada = enter("ada")
    key = ada.register()
    copy = dataclasses.replace(key)
    for _ in range(3):
        ada.show(key.get(ada.asked_to_show()))
    logged.clear()
    with pytest.raises(SecondFactorRefused):
        ada.show(copy.get(ada.asked_to_show()))
    assert [(line["event"], line["log_level"]) for line in logged] == [
        ("authenticator_count_went_back", "error")
    ]
    # A key that does not count says 0 for ever.
    still = SoftwareKey(ORIGIN, step=0)
    ada.keep(still.create(ada.asked_to_register()), "green")
    for _ in range(2):
        ada.show(still.get(ada.asked_to_show()))


def test_a_passphrase_alone_adds_no_key_to_one_that_is_there(
    enter: Enter, engine: Engine
) -> None:
    ada, thief = enter("ada"), enter("ada")
    asked = thief.asked_to_register()
    key = ada.register()
    with pytest.raises(SecondFactorDue):
        thief.keep(SoftwareKey(ORIGIN).create(asked), "green")
    with pytest.raises(SecondFactorDue):
        thief.asked_to_register()
    thief.show(key.get(thief.asked_to_show()))
    thief.register("green")
    assert [one.name for one in authenticators.listed(engine, "ada")] == [
        "blue",
        "green",
    ]


def test_of_two_first_keys_at_once_one_is_kept(enter: Enter, engine: Engine) -> None:
    visits = [enter("ada") for _ in range(4)]
    answers = [
        SoftwareKey(ORIGIN).create(visit.asked_to_register()) for visit in visits
    ]
    done = at_once(
        [
            partial(visit.keep, answer, f"key {n}")
            for n, (visit, answer) in enumerate(zip(visits, answers, strict=True))
        ]
    )
    assert done.count(None) == 1
    assert sum(isinstance(one, SecondFactorDue) for one in done) == 3
    assert len(authenticators.listed(engine, "ada")) == 1


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", " a", "\ud800", "blue"])
def test_a_key_has_a_name_of_its_own(enter: Enter, name: str) -> None:
    ada = enter("ada")
    ada.register("blue")
    answer = SoftwareKey(ORIGIN).create(ada.asked_to_register())
    with pytest.raises(AuthenticatorNameRefused, match="one line"):
        ada.keep(answer, name)


def test_ten_keys_are_the_most(enter: Enter) -> None:
    ada = enter("ada")
    for n in range(MOST - 1):
        ada.register(f"key {n}")
    asked = ada.asked_to_register()
    ada.register("the last")
    with pytest.raises(SecondFactorRefused):
        # Its challenge was replaced by the last one's.
        ada.keep(SoftwareKey(ORIGIN).create(asked), "one more")
    with pytest.raises(TooManyAuthenticators, match="remove one"):
        ada.asked_to_register()


def test_an_ended_session_is_given_nothing(
    enter: Enter, engine: Engine, sql: Sql
) -> None:
    ada = enter("ada")
    session = ada.session
    answer = SoftwareKey(ORIGIN).create(ada.asked_to_register())
    sessions.revoke_all(engine, "ada")
    with pytest.raises(SessionEnded):
        finish_registration(engine, session, ORIGIN, "blue", answer)
    assert authenticators.listed(engine, "ada") == []
    other = enter("ada")
    key = other.register()
    session = other.session
    answer = key.get(other.asked_to_show())
    sessions.revoke_all(engine, "ada")
    with pytest.raises(SessionEnded):
        finish_assertion(engine, session, ORIGIN, answer)
    assert sql("SELECT last_used_at FROM people_authenticators") == [(None,)]


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8235", "http://[::1]", ""])
def test_browsers_give_no_key_to_an_address(enter: Enter, origin: str) -> None:
    ada = enter("ada")
    with pytest.raises(SecondFactorUnavailable, match="localhost"):
        begin_registration(ada.engine, ada.session, origin)
    with pytest.raises(NoSuchAuthenticator):
        ada.asked_to_show()
    local = "http://localhost:8235"
    asked = begin_registration(ada.engine, ada.session, local)
    key = SoftwareKey(local, flags=PRESENT)
    finish_registration(ada.engine, ada.session, local, "blue", key.create(asked))
