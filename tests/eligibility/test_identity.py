"""Only the provider's own, current, well-formed tokens name a voter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tests.eligibility.tokens import (
    AUDIENCE,
    ISSUER,
    NOW,
    Provider,
    claims,
    hmac_token,
    segment,
)
from votepyramid.eligibility.dev_issuer import DevIssuer
from votepyramid.eligibility.identity import DEV_ISSUER, JwtVerifier
from votepyramid.errors import Code, Refused
from votepyramid.jose.signed import MAX_TOKEN_LENGTH
from votepyramid.protocol.encoding import b64u
from votepyramid.settings import Settings, SettingsError
from votepyramid.stack import credentials


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider()


@pytest.fixture(scope="module")
def verifier(provider: Provider, tmp_path_factory: Any) -> JwtVerifier:
    path = tmp_path_factory.mktemp("jwks") / "jwks.json"
    path.write_text(json.dumps(provider.jwks()))
    return JwtVerifier(_settings(path), clock=lambda: NOW)


def _settings(path: Path, **changes: Any) -> Settings:
    values = {
        "jwt_jwks": str(path),
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        **changes,
    }
    return Settings(**values)


def _refused(verifier: JwtVerifier, token: str) -> None:
    with pytest.raises(Refused) as caught:
        verifier.verify(token)
    assert caught.value.code == Code.UNAUTHENTICATED
    # Nothing of why, and nothing of the token, leaves the verifier.
    assert caught.value.detail == "" and caught.value.extras == {}
    assert caught.value.__cause__ is None


def test_both_algorithms_name_the_voter(
    verifier: JwtVerifier, provider: Provider
) -> None:
    assert verifier.verify(provider.ed_token(claims())) == "voter-1"
    assert verifier.verify(provider.rsa_token(claims(sub="v|2"))) == "v|2"
    newer = provider.ed_token(claims(), {"alg": "Ed25519", "kid": "ed", "typ": "JWT"})
    assert verifier.verify(newer) == "voter-1"
    listed = claims(aud=["other", AUDIENCE], nbf=NOW - 5)
    assert verifier.verify(provider.ed_token(listed)) == "voter-1"


@pytest.mark.filterwarnings("error")
def test_a_good_token_raises_no_warning(
    verifier: JwtVerifier, provider: Provider
) -> None:
    assert verifier.verify(provider.ed_token(claims())) == "voter-1"


def test_the_header_of_a_request(verifier: JwtVerifier, provider: Provider) -> None:
    token = provider.ed_token(claims())
    assert verifier.voter(f"Bearer {token}") == "voter-1"
    assert verifier.voter(f"bearer {token}") == "voter-1"
    for header in (None, "", token, f"Basic {token}", "Bearer", f"Bearer{token}"):
        with pytest.raises(Refused) as caught:
            verifier.voter(header)
        assert caught.value.code == Code.UNAUTHENTICATED


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"iss": [ISSUER]},
        {"aud": "other"},
        {"aud": None},
        {"aud": []},
        {"aud": {AUDIENCE: 1}},
        {"exp": NOW - 31},
        {"exp": NOW - 30},
        {"exp": None},
        {"exp": str(NOW + 600)},
        {"exp": True},
        {"iat": NOW + 31},
        {"iat": None},
        {"nbf": NOW + 31},
        {"nbf": "0"},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a b"},
        {"sub": "a\n"},
        {"sub": "v" * 129},
        {"sub": "vöter"},
    ],
    ids=repr,
)
def test_claims_that_are_refused(
    verifier: JwtVerifier, provider: Provider, changes: dict[str, Any]
) -> None:
    _refused(verifier, provider.ed_token(claims(**changes)))
    _refused(verifier, provider.rsa_token(claims(**changes)))


def test_leeway_is_thirty_seconds(verifier: JwtVerifier, provider: Provider) -> None:
    late = claims(exp=NOW - 29, iat=NOW + 30, nbf=NOW + 30)
    assert verifier.verify(provider.ed_token(late)) == "voter-1"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", "HS256", "ES256", "RS512"])
def test_algorithms_outside_the_list(
    verifier: JwtVerifier, provider: Provider, alg: str
) -> None:
    header = {"alg": alg, "kid": "ed"}
    _refused(verifier, provider.ed_token(claims(), header))
    _refused(verifier, f"{segment(header)}.{segment(claims())}.")
    _refused(verifier, f"{segment(header)}.{segment(claims())}.AA")


def test_a_public_key_is_no_hmac_secret(
    verifier: JwtVerifier, provider: Provider
) -> None:
    public = provider.rsa.public_key()
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        provider.ed.public_key().public_bytes_raw(),
        b"",
    ):
        for kid in ("rsa", "ed"):
            header = {"alg": "HS256", "kid": kid}
            _refused(verifier, hmac_token(secret, claims(), header))


def test_one_keys_algorithm_does_not_open_another(
    verifier: JwtVerifier, provider: Provider
) -> None:
    _refused(verifier, provider.ed_token(claims(), {"alg": "RS256", "kid": "ed"}))
    _refused(verifier, provider.ed_token(claims(), {"alg": "EdDSA", "kid": "rsa"}))
    _refused(verifier, provider.rsa_token(claims(), {"alg": "EdDSA", "kid": "rsa"}))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "EdDSA"},
        {"alg": "EdDSA", "kid": None},
        {"alg": "EdDSA", "kid": ["ed"]},
        {"alg": "EdDSA", "kid": "other"},
        {"alg": ["EdDSA"], "kid": "ed"},
        {"alg": "EdDSA", "kid": "ed", "typ": "logout+jwt"},
        {"alg": "EdDSA", "kid": "ed", "typ": ["JWT"]},
        {"alg": "EdDSA", "kid": "ed", "crit": ["b64"], "b64": False},
        {"alg": "EdDSA", "kid": "ed", "b64": True},
        [],
        b"not json",
        b'{"alg":"EdDSA","kid":"ed","kid":"ed"}',
    ],
    ids=repr,
)
def test_headers_that_are_refused(
    verifier: JwtVerifier, provider: Provider, header: Any
) -> None:
    _refused(verifier, provider.ed_token(claims(), header))


def test_a_key_the_token_brings_along_counts_for_nothing(
    verifier: JwtVerifier,
) -> None:
    own = Provider()
    header = {"alg": "EdDSA", "kid": "ed", "jwk": own.ed_jwk()}
    _refused(verifier, own.ed_token(claims(), header))


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps(claims()).encode()[:-1] + b',"sub":"someone-else"}',
        b'{"sub":"a",' + json.dumps(claims()).encode()[1:],
        b"[]",
        b"",
        b"null",
        json.dumps(claims()).encode()[:-1] + b',"exp":NaN}',
        b"\xff" + json.dumps(claims()).encode(),
        b'{"a":' * 40 + b"1" + b"}" * 40,
    ],
    ids=range(8),
)
def test_payloads_that_are_refused(
    verifier: JwtVerifier, provider: Provider, payload: bytes
) -> None:
    _refused(verifier, provider.ed_token(payload))


def test_a_huge_token_is_refused_unread(
    verifier: JwtVerifier, provider: Provider
) -> None:
    _refused(verifier, provider.ed_token(claims(pad="x" * MAX_TOKEN_LENGTH)))
    _refused(verifier, "a." * 1_000_000)
    near = provider.ed_token(claims(pad="x" * (MAX_TOKEN_LENGTH // 2)))
    assert verifier.verify(near) == "voter-1"


def test_a_changed_byte_breaks_the_signature(
    verifier: JwtVerifier, provider: Provider
) -> None:
    head, body, signature = provider.ed_token(claims()).split(".")
    other = segment(claims(sub="voter-2"))
    _refused(verifier, f"{head}.{other}.{signature}")
    _refused(verifier, f"{head}.{body}.{b64u(bytes(64))}")
    _refused(verifier, f"{head}.{body}.")
    _refused(verifier, f"{head}.{body}.{signature}=")
    _refused(verifier, f"{head}.{body}.{signature}.{signature}")


def test_a_stranger_with_the_same_key_id(verifier: JwtVerifier) -> None:
    stranger = Provider()
    _refused(verifier, stranger.ed_token(claims()))
    _refused(verifier, stranger.rsa_token(claims()))


@given(text=st.text(max_size=200))
def test_any_text_is_refused_as_unauthenticated(
    verifier: JwtVerifier, text: str
) -> None:
    _refused(verifier, text)


@given(
    header=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "x"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    )
)
def test_any_signed_header_is_refused_or_names_the_voter(
    verifier: JwtVerifier, provider: Provider, header: Any
) -> None:
    _refused(verifier, provider.ed_token(claims(), header if header else [header]))


def test_the_development_issuer_signs_for_a_development_engine(tmp_path: Path) -> None:
    settings = Settings(environment="development", **credentials.make(tmp_path))
    token = DevIssuer(settings, tmp_path / "dev-issuer.json").token("voter-9")
    assert JwtVerifier(settings).verify(token) == "voter-9"


def test_the_development_issuer_is_refused_in_production(tmp_path: Path) -> None:
    made = credentials.make(tmp_path)
    assert made["jwt_issuer"] == DEV_ISSUER
    settings = Settings(environment="production", **made)
    with pytest.raises(SettingsError, match="development"):
        DevIssuer(settings, tmp_path / "dev-issuer.json")
    with pytest.raises(SettingsError, match="development issuer"):
        JwtVerifier(settings)


def test_a_production_engine_refuses_a_development_token(
    tmp_path: Path, provider: Provider
) -> None:
    """Even were the development key in its key set."""
    development = Settings(environment="development", **credentials.make(tmp_path))
    token = DevIssuer(development, tmp_path / "dev-issuer.json").token("voter-9")
    settings = _settings(tmp_path / "jwks.json", environment="production")
    _refused(JwtVerifier(settings), token)


@pytest.mark.parametrize("voter", ["", "a b", "x" * 129, "a,b", 'a"'])
def test_the_development_issuer_checks_the_voter_id(tmp_path: Path, voter: str) -> None:
    settings = Settings(environment="development", **credentials.make(tmp_path))
    issuer = DevIssuer(settings, tmp_path / "dev-issuer.json")
    with pytest.raises(ValueError, match="voter id"):
        issuer.token(voter)


@pytest.mark.parametrize("missing", ["jwt_jwks", "jwt_issuer", "jwt_audience"])
def test_a_missing_setting_stops_the_start(tmp_path: Path, missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        JwtVerifier(_settings(tmp_path / "jwks.json", **{missing: ""}))


def test_ed448_is_not_ed25519(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    path = tmp_path / "jwks.json"
    path.write_text(
        json.dumps(
            {"keys": [{"kty": "OKP", "crv": "Ed448", "kid": "a", "x": b64u(key)}]}
        )
    )
    with pytest.raises(SettingsError, match="no Ed25519 or RSA"):
        JwtVerifier(_settings(path))
