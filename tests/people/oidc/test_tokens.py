"""ID tokens that must not be believed, and one that may."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Engine

from tests.eligibility.tokens import Provider as Keys
from tests.eligibility.tokens import hmac_token, segment
from tests.people.oidc.hostile import Hostile
from tests.people.oidc.visits import ID, SECRET, Visit, us
from votepyramid.people.errors import ProviderRefused, SignInUndated
from votepyramid.people.oidc import requests


def test_a_good_token_of_either_kind(visit: Visit, posing: Hostile) -> None:
    posing.hand_out(posing.keys.ed_token(visit.claims(aud=[ID], azp=ID)))
    found = visit.finish()
    assert (found.issuer, found.subject) == (posing.issuer, "4711")
    # Both are encoded before they are put together (RFC 6749, section 2.3.1).
    ((headers, form),) = posing.sent
    pair = base64.b64decode(headers["Authorization"].removeprefix("Basic "))
    assert pair == b"votepyramid:a%2Fb%2Bc%3D"
    assert form == {
        "grant_type": ["authorization_code"],
        "code": ["code"],
        "redirect_uri": ["https://admin.example.org/back"],
        "code_verifier": [requests.proofs(visit.leaving.secret).verifier],
    }


NOW = int(time.time())
CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"nonce": None}, "another nonce"),
    ({"nonce": "another"}, "another nonce"),
    ({"nonce": ["a"]}, "another nonce"),
    ({"iss": "https://elsewhere.example"}, "another issuer"),
    ({"iss": None}, "another issuer"),
    ({"aud": "another"}, "another audience"),
    ({"aud": None}, "another audience"),
    ({"aud": []}, "another audience"),
    ({"aud": [ID, "another"]}, "another audience"),
    ({"aud": [ID, "another"], "azp": ID}, "another audience"),
    ({"aud": [ID, ID]}, "another audience"),
    ({"aud": {ID: 1}}, "another audience"),
    ({"azp": "another"}, "another authorized party"),
    ({"azp": [ID]}, "another authorized party"),
    ({"exp": NOW - 31}, "expired"),
    ({"exp": None}, "no usable exp"),
    ({"exp": str(2**40)}, "no usable exp"),
    ({"iat": 2**40}, "issued in the future"),
    ({"iat": NOW - 900}, "issued before it was asked for"),
    ({"iat": None}, "no usable iat"),
    ({"nbf": 2**40}, "not valid yet"),
    ({"auth_time": 2**40}, "signed in in the future"),
    ({"auth_time": "now"}, "no usable auth_time"),
    ({"auth_time": True}, "no usable auth_time"),
    ({"sub": None}, "no usable subject"),
    ({"sub": ""}, "no usable subject"),
    ({"sub": 4711}, "no usable subject"),
    ({"sub": "x" * 256}, "no usable subject"),
    ({"sub": "é"}, "no usable subject"),
    ({"sub": "a\n"}, "no usable subject"),
]


@pytest.mark.parametrize(("changes", "why"), CLAIMS, ids=map(str, range(len(CLAIMS))))
def test_claims_that_are_refused(
    visit: Visit,
    posing: Hostile,
    logged: list[dict[str, Any]],
    changes: dict[str, Any],
    why: str,
) -> None:
    posing.hand_out(posing.keys.rsa_token(visit.claims(**changes)))
    with pytest.raises(ProviderRefused):
        visit.finish()
    (line,) = logged
    assert (line["event"], line["why"]) == ("identity_refused", why)


def _unsigned(posing: Hostile, claims: dict[str, Any]) -> str:
    return f"{segment({'alg': 'none', 'kid': 'rsa'})}.{segment(claims)}."


def _no_signature(posing: Hostile, claims: dict[str, Any]) -> str:
    return f"{segment({'alg': 'none', 'kid': 'rsa'})}.{segment(claims)}.AA"


def _by_public_key(posing: Hostile, claims: dict[str, Any]) -> str:
    public = posing.keys.rsa.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hmac_token(pem, claims, {"alg": "HS256", "kid": "rsa"})


def _by_our_secret(posing: Hostile, claims: dict[str, Any]) -> str:
    return hmac_token(SECRET.encode(), claims, {"alg": "HS256", "kid": "rsa"})


def _by_another(posing: Hostile, claims: dict[str, Any]) -> str:
    return Keys().rsa_token(claims)


def _by_its_own(posing: Hostile, claims: dict[str, Any]) -> str:
    own = Keys()
    header = {"alg": "EdDSA", "kid": "ed", "jwk": own.ed_jwk()}
    return own.ed_token(claims, header)


def _of_unknown_id(posing: Hostile, claims: dict[str, Any]) -> str:
    return posing.keys.rsa_token(claims, {"alg": "RS256", "kid": "new"})


def _access_token(posing: Hostile, claims: dict[str, Any]) -> str:
    header = {"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}
    return posing.keys.rsa_token(claims, header)


def _logout_token(posing: Hostile, claims: dict[str, Any]) -> str:
    header = {"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"}
    return posing.keys.rsa_token(claims, header)


def _changed(posing: Hostile, claims: dict[str, Any]) -> str:
    header, _, signature = posing.keys.rsa_token(claims).split(".")
    return f"{header}.{segment({**claims, 'sub': '4712'})}.{signature}"


def _twice(posing: Hostile, claims: dict[str, Any]) -> str:
    raw = json.dumps(claims).encode()[:-1] + b',"sub":"4712"}'
    return posing.keys.rsa_token(raw)


def _long(posing: Hostile, claims: dict[str, Any]) -> str:
    return posing.keys.rsa_token({**claims, "groups": "x" * 8192})


FORGED: list[tuple[Callable[[Hostile, Any], str], str]] = [
    (_unsigned, "not a compact JWS"),
    (_no_signature, "algorithm not allowed"),
    (_by_public_key, "algorithm not allowed"),
    (_by_our_secret, "algorithm not allowed"),
    (_by_another, "BadSignatureError"),
    (_by_its_own, "BadSignatureError"),
    (_changed, "BadSignatureError"),
    (_of_unknown_id, "unknown key id"),
    (_access_token, "another type of token"),
    (_logout_token, "another type of token"),
    (_twice, "StrictJsonError"),
    (_long, "not a compact JWS"),
]


@pytest.mark.parametrize(("forge", "why"), FORGED)
def test_tokens_that_are_refused(
    visit: Visit,
    posing: Hostile,
    logged: list[dict[str, Any]],
    forge: Callable[[Hostile, Any], str],
    why: str,
) -> None:
    posing.hand_out(forge(posing, visit.claims()))
    with pytest.raises(ProviderRefused):
        visit.finish()
    assert [line["why"] for line in logged] == [why]


@pytest.mark.parametrize(
    ("changes", "asked"),
    [({"auth_time": None}, "when"), ({"auth_time": NOW - 900}, "without asking")],
)
def test_signing_in_again_takes_a_time(
    shared: Engine, posing: Hostile, changes: dict[str, Any], asked: str
) -> None:
    again = Visit(shared, us(posing.issuer), "sign_in_again")
    posing.hand_out(posing.keys.rsa_token(again.claims(**changes)))
    with pytest.raises(SignInUndated, match=asked):
        again.finish()
    # Who merely signs in is let in, and the session knows that it is not recent.
    other = Visit(shared, us(posing.issuer))
    posing.hand_out(posing.keys.rsa_token(other.claims(**changes)))
    since = other.finish().since
    assert since is None or since >= 900
