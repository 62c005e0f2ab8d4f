"""The provider's key set: what is taken, what is refused, when it is read again."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from tests.eligibility.tokens import AUDIENCE, ISSUER, Provider, claims, rsa_members
from votepyramid.eligibility.identity import JwtVerifier
from votepyramid.errors import Code, Refused
from votepyramid.jose import sources
from votepyramid.jose.key_sets import KeySetError, KeySource, parse
from votepyramid.jose.sources import SourceError
from votepyramid.protocol.encoding import b64u
from votepyramid.settings import Settings, SettingsError


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider()


def _set(*keys: Any) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def test_keys_of_other_kinds_are_passed_over(provider: Provider) -> None:
    elliptic = {"kty": "EC", "crv": "P-256", "kid": "ec", "x": "AA", "y": "AA"}
    sealing = {**provider.ed_jwk(), "kid": "enc", "use": "enc"}
    other = {**provider.rsa_jwk(), "kid": "ps", "alg": "PS256"}
    named = {**provider.ed_jwk(), "alg": "EdDSA"}
    keys = parse(_set(elliptic, sealing, other, named, provider.rsa_jwk()))
    assert set(keys) == {"ed", "rsa"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kty": "oct", "k": "c2VjcmV0"}, "symmetric"),
        ({"k": "c2VjcmV0"}, "symmetric"),
        ({"d": b64u(bytes(32))}, "private"),
        ({"kid": None}, "key id"),
        ({"kid": ""}, "key id"),
        ({"kid": "k" * 257}, "key id"),
        ({"x": b64u(bytes(31))}, "malformed"),
        ({"x": "A" * 43 + "="}, "malformed"),
        ({"x": None}, "malformed"),
    ],
    ids=repr,
)
def test_one_bad_key_spoils_the_set(
    provider: Provider, change: dict[str, Any], problem: str
) -> None:
    with pytest.raises(KeySetError, match=problem):
        parse(_set(provider.rsa_jwk(), {**provider.ed_jwk(), **change}))


def test_rsa_keys_have_a_least_size(provider: Provider) -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    entry = {**rsa_members(small.public_key()), "kid": "small"}
    with pytest.raises(KeySetError, match="2048"):
        parse(_set(provider.ed_jwk(), entry))
    with pytest.raises(KeySetError, match="exponent"):
        parse(_set({**provider.rsa_jwk(), "e": b64u(b"\x01")}))


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[]}', b'{"keys":[1]}', b"x" * 70_000],
    ids=range(7),
)
def test_what_is_no_key_set(data: bytes) -> None:
    with pytest.raises(KeySetError):
        parse(data)


def test_two_keys_with_one_id(provider: Provider) -> None:
    with pytest.raises(KeySetError, match="share"):
        parse(_set(provider.ed_jwk(), {**provider.rsa_jwk(), "kid": "ed"}))


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def rotating(tmp_path: Path, provider: Provider) -> tuple[Path, Clock, KeySource]:
    path = tmp_path / "jwks.json"
    path.write_bytes(_set(provider.ed_jwk()))
    clock = Clock()
    source = KeySource(str(path), clock=clock)
    source.refresh()
    return path, clock, source


def test_a_new_key_is_found_but_not_at_a_strangers_pace(
    rotating: tuple[Path, Clock, KeySource], provider: Provider
) -> None:
    path, clock, source = rotating
    path.write_bytes(_set(provider.ed_jwk(), provider.rsa_jwk()))
    clock.now += sources.MIN_PAUSE - 1
    assert source.key("rsa") is None
    clock.now += 1
    assert source.key("rsa") is not None


def test_a_withdrawn_key_is_trusted_no_longer_than_said(
    rotating: tuple[Path, Clock, KeySource], provider: Provider
) -> None:
    path, clock, source = rotating
    path.write_bytes(_set(provider.rsa_jwk()))
    clock.now += sources.MAX_AGE - 1
    assert source.key("ed") is not None
    clock.now += 1
    assert source.key("ed") is None


def test_known_keys_serve_while_the_set_is_away_then_no_more(
    rotating: tuple[Path, Clock, KeySource],
) -> None:
    path, clock, source = rotating
    path.write_text("broken")
    clock.now += sources.MAX_AGE + 1
    assert source.key("ed") is not None
    clock.now += sources.MAX_STALE
    with pytest.raises(SourceError, match="could not be had"):
        source.key("ed")


def test_only_files_and_https() -> None:
    for address in ("http://id.example/jwks", "file:///etc/passwd", "ftp://x/y"):
        with pytest.raises(SourceError, match="https"):
            KeySource(address)
        settings = Settings(jwt_jwks=address, jwt_issuer="i", jwt_audience="a")
        with pytest.raises(SettingsError, match="jwt_jwks"):
            JwtVerifier(settings)


class _Handler(http.server.BaseHTTPRequestHandler):
    answers: dict[str, tuple[int, bytes]]
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status, body = self.answers[self.path]
        self.send_response(status)
        self.send_header("Location", "/keys")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what these tests are about."""


class Https:
    """A key set's server on loopback with a certificate of its own."""

    def __init__(self, folder: Path, answers: dict[str, tuple[int, bytes]]) -> None:
        certificate, key = _certificate(folder)
        self.answers = answers
        handler = type("Handler", (_Handler,), {"answers": answers, "asked": []})
        self.asked: list[str] = handler.asked
        self._server = _Server(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.trust = ssl.create_default_context(cafile=str(certificate))
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return paths


@pytest.fixture
def https(tmp_path: Path, provider: Provider) -> Iterator[Https]:
    server = Https(
        tmp_path,
        {
            "/keys": (200, _set(provider.ed_jwk())),
            "/moved": (302, b""),
            "/broken": (500, b""),
            "/endless": (200, b" " * 10_000_000),
        },
    )
    yield server
    server.stop()


def _verifier(https: Https, path: str, **more: Any) -> JwtVerifier:
    settings = Settings(
        jwt_jwks=https.url + path, jwt_issuer=ISSUER, jwt_audience=AUDIENCE
    )
    source = KeySource(https.url + path, ssl_context=https.trust)
    return JwtVerifier(settings, source=more.get("source", source))


def test_keys_over_https_are_fetched_once_for_many(
    https: Https, provider: Provider
) -> None:
    verifier = _verifier(https, "/keys")
    assert https.asked == []
    token = provider.ed_token(claims(exp=2**40, iat=0))
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(verifier.verify(token)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["voter-1"] * 8
    assert https.asked == ["/keys"]


@pytest.mark.parametrize("path", ["/moved", "/broken", "/endless"])
def test_a_provider_in_trouble_is_not_the_voters_fault(
    https: Https, provider: Provider, path: str
) -> None:
    verifier = _verifier(https, path)
    for _ in range(3):
        with pytest.raises(Refused) as caught:
            verifier.verify(provider.ed_token(claims()))
        assert caught.value.code == Code.UNAVAILABLE
        assert caught.value.retry_after
    # A redirect is not followed, and an address in trouble is not asked each time.
    assert https.asked == [path]


def test_an_untrusted_certificate_is_refused(https: Https, provider: Provider) -> None:
    verifier = _verifier(https, "/keys", source=KeySource(https.url + "/keys"))
    with pytest.raises(Refused) as caught:
        verifier.verify(provider.ed_token(claims()))
    assert caught.value.code == Code.UNAVAILABLE
    assert https.asked == []
