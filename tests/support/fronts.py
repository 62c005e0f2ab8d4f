"""nginx and Temporal's web console as production has them: the files of deploy/console.

Only addresses and folders are changed; a change that finds nothing to change fails.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from votepyramid.stack.children import Child, environment_without
from votepyramid.stack.ports import LOOPBACK, free_port
from votepyramid.stack.program import http_status

DEPLOYED = Path(__file__).resolve().parents[2] / "deploy" / "console"
# As in Debian's nginx.conf, whose http block takes ours in.
_AROUND = """
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/errors.log;
daemon off;
events {{ worker_connections 768; }}
http {{
    default_type application/octet-stream;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_prefer_server_ciphers on;
    access_log {folder}/access.log;
    gzip on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/votepyramid.conf;
}}
"""


def nginx() -> str | None:
    """The program; Debian's is in a folder that only root's PATH has."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def changed(name: str, changes: Mapping[str, str]) -> str:
    """A file of deploy/console with these texts in the place of others."""
    text = (DEPLOYED / name).read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    return text


class Nginx(Child):
    """nginx.conf at `localhost`: the pages at one port, the console at another."""

    def __init__(self, folder: Path, pages: int, console: int, behind: dict[str, int]):
        """`behind` are the ports of "pages", "console" and "codec server"."""
        super().__init__(folder / "nginx.log")
        self._folder = folder
        self._ports = (pages, console)
        certify(folder / "admin.pem", folder / "admin.key")
        changes = {
            "https://admin.example.org/": f"https://localhost:{pages}/",
            "server_name admin.example.org": "server_name localhost",
            "listen      443 ": f"listen {LOOPBACK}:{pages} ",
            "listen      8443 ": f"listen {LOOPBACK}:{console} ",
            "127.0.0.1:8235": f"127.0.0.1:{behind['pages']}",
            "127.0.0.1:8233": f"127.0.0.1:{behind['console']}",
            "127.0.0.1:8234": f"127.0.0.1:{behind['codec server']}",
            "/etc/ssl/votepyramid": str(folder),
            "/var/log/nginx": str(folder),
        }
        (folder / "votepyramid.conf").write_text(changed("nginx.conf", changes))
        user = "user root;" if os.geteuid() == 0 else ""
        around = _AROUND.format(folder=folder, user=user)
        (folder / "nginx.conf").write_text(around)

    def start(self) -> None:
        program = nginx()
        assert program is not None
        self._spawn([program, "-p", self._folder, "-c", "nginx.conf"])
        self._wait_ready("nginx", self._listening, 10)

    def _listening(self) -> bool:
        for port in self._ports:
            with socket.socket() as one:
                if one.connect_ex((LOOPBACK, port)) != 0:
                    return False
        return True


class ConsoleForLooking(Child):
    """`temporal-ui-server` with console.yaml."""

    def __init__(self, program: Path, folder: Path, *, temporal: str, pages: str):
        super().__init__(folder / "console.log")
        self.port = free_port()
        self._program = program
        self._folder = folder
        changes = {
            "https://admin.example.org": pages,
            "127.0.0.1:7233": temporal,
            "port: 8233": f"port: {self.port}",
        }
        (folder / "console.yaml").write_text(changed("console.yaml", changes))

    def start(self) -> None:
        self._spawn(
            [
                *(self._program, "--root", self._folder, "--config", "."),
                *("--env", "console", "start"),
            ],
            env=environment_without("TEMPORAL_"),
        )
        self._wait_ready(
            "The console", lambda: http_status(self.port, "/healthz") == 200, 30
        )


def certify(certificate: Path, key_file: Path) -> None:
    """A certificate for localhost that vouches for itself, for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
        )
        .sign(key, SHA256())
    )
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
