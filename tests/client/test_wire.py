"""What both transports make of strange servers: framing, headers, certificates."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from tests.client import scripted
from tests.client.conftest import BlockingVoter, LoadVoter
from tests.client.scripted import BallotBox, ScriptedServer
from votepyramid.client import aio
from votepyramid.client.ballots import SealedBallot
from votepyramid.client.errors import ElectionUnreachable, UnexpectedAnswer
from votepyramid.client.policy import RetryPolicy


@given(st.binary(max_size=200))
def test_any_head_is_read_or_refused(noise: bytes) -> None:
    try:
        status, headers = aio._parse_head(noise + b"\r\n\r\n")
        aio._length(status, headers, 1000)
    except UnexpectedAnswer:
        return
    assert 0 <= status <= 999


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2 200 OK\r\ncontent-length: 1\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    ],
)
def test_heads_that_are_no_http(head: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        aio._parse_head(head)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-length": ""},
        {"content-length": "-1"},
        {"content-length": "+1"},
        {"content-length": "1001"},
        {"content-length": "9" * 20},
        {"content-length": "1", "transfer-encoding": "chunked"},
    ],
)
def test_bodies_of_unknown_or_excessive_length(headers: dict[str, str]) -> None:
    with pytest.raises(UnexpectedAnswer):
        aio._length(200, headers, 1000)


def test_endless_headers(
    voter: Any, ballot: SealedBallot, server: ScriptedServer
) -> None:
    def chatter(handler: scripted.Handler) -> None:
        handler.send_response(200)
        for number in range(2000):
            handler.send_header(f"X-{number}", "x" * 100)
        handler.end_headers()

    server.script = [chatter]
    if isinstance(voter, LoadVoter):
        with pytest.raises(UnexpectedAnswer, match="endless headers"):
            voter.cast(ballot)
    else:
        # The library counts it as a broken connection: sending again is safe.
        assert voter.cast(ballot).receipt_hash == ballot.receipt_hash


def test_a_server_that_is_not_http(
    voter: Any, ballot: SealedBallot, server: ScriptedServer
) -> None:
    def banner(handler: scripted.Handler) -> None:
        handler.wfile.write(b"220 mail.example ESMTP\r\n\r\n")
        scripted.drop(handler)

    server.script = [banner]
    if isinstance(voter, LoadVoter):
        with pytest.raises(UnexpectedAnswer, match="does not speak"):
            voter.cast(ballot)
    else:
        assert voter.cast(ballot).receipt_hash == ballot.receipt_hash


def test_a_base_address_with_a_path(box: BallotBox, ballot: SealedBallot) -> None:
    for kind in (BlockingVoter, LoadVoter):
        with scripted.serving(box.serve) as server:

            class Behind:
                url = f"{server.url}/city/"

            voter = kind(Behind(), box)  # type: ignore[arg-type]
            voter.cast(ballot)
            assert server.seen[0].path == "/city/api/elections/demo/vote/"
            voter.close()


def _self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = folder / "server.pem"
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_a_certificate_nobody_vouches_for(
    box: BallotBox, ballot: SealedBallot, tmp_path: Path
) -> None:
    for kind in (BlockingVoter, LoadVoter):
        with scripted.serving(box.serve) as server:
            server.socket = _self_signed(tmp_path).wrap_socket(
                server.socket, server_side=True
            )

            class Encrypted:
                url = f"https://localhost:{server.server_address[1]}"

            quick = RetryPolicy(deadline=0.3, base=0.1, cap=0.1)
            voter = kind(Encrypted(), box, policy=quick)  # type: ignore[arg-type]
            with pytest.raises(ElectionUnreachable, match="certificate verify failed"):
                voter.cast(ballot)
            assert server.seen == []
            voter.close()
