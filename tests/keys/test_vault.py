"""Transit as OpenBao's own server has it, under the least policy that is enough."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hvac import exceptions as refusals

from tests.keys.openbao import ROOT_TOKEN, Bao
from tests.keys.refusals import refused
from tests.support.needs import needs
from votepyramid.keys import providers
from votepyramid.keys.provider import KeyProviderError, Unanswered, WrongContext
from votepyramid.settings import Settings, SettingsError

pytestmark = needs("openbao")


def test_the_wrapped_key_is_transits_own_text(bao: Bao) -> None:
    bao.make_key("text")
    wrapped = providers.make(bao.settings("text")).wrap(b"context", b"k" * 32)
    assert wrapped.startswith(b"\x04textvault:v1:")
    opened = bao.transit.decrypt_data(
        "text",
        ciphertext=wrapped[5:].decode(),
        context=base64.b64encode(b"context").decode(),
    )
    assert base64.b64decode(opened["data"]["plaintext"]) == b"k" * 32


def test_versions_are_rotated_by_transit(bao: Bao) -> None:
    bao.make_key("versions")
    provider = providers.make(bao.settings("versions"))
    old = provider.wrap(b"context", b"k" * 32)
    bao.transit.rotate_key("versions")
    new = provider.wrap(b"context", b"k" * 32)
    assert (b"vault:v1:" in old, b"vault:v2:" in new) == (True, True)
    assert provider.unwrap(b"context", old) == b"k" * 32
    bao.transit.update_key_configuration("versions", min_decryption_version=2)
    with pytest.raises(KeyProviderError, match="version of it was retired") as caught:
        provider.unwrap(b"context", old)
    assert not isinstance(caught.value, WrongContext)
    assert provider.unwrap(b"context", new) == b"k" * 32


@pytest.mark.parametrize(
    ("name", "how", "says"),
    [
        ("underived", {"derived": False}, "binds no context"),
        ("exportable", {"exportable": True}, "can be read out of Vault"),
        ("backup", {"allow_plaintext_backup": True}, "can be read out of Vault"),
        ("rsa", {"derived": False, "key_type": "rsa-2048"}, "binds no context"),
    ],
)
def test_a_key_that_is_no_kek_is_refused(
    bao: Bao, name: str, how: dict[str, object], says: str
) -> None:
    bao.make_key(name, **how)
    with pytest.raises(KeyProviderError, match=says):
        providers.make(bao.settings(name)).wrap(b"context", b"k" * 32)


def test_a_destroyed_key_is_not_made_again(bao: Bao) -> None:
    """Transit makes a key that it is asked to encrypt under, for who may create."""
    bao.make_key("phoenix")
    root = str(bao.keep_token("root", ROOT_TOKEN))
    provider = providers.make(bao.settings("phoenix", vault_token_file=root))
    provider.wrap(b"context", b"k" * 32)
    bao.destroy_key("phoenix")
    with pytest.raises(KeyProviderError, match="does not exist"):
        provider.wrap(b"context", b"k" * 32)
    with pytest.raises(refusals.InvalidPath):
        bao.transit.read_key("phoenix")


def test_what_is_made_binds_its_context_and_stays_in_transit(bao: Bao) -> None:
    bao.make_key("before")
    root = str(bao.keep_token("root", ROOT_TOKEN))
    store = providers.make(bao.settings("before", vault_token_file=root))
    assert store.make("made-here", lambda: None) == "made-here"
    made = bao.transit.read_key("made-here")["data"]
    assert (made["type"], made["derived"]) == ("aes256-gcm96", True)
    for name in ("exportable", "allow_plaintext_backup", "convergent_encryption"):
        assert not made.get(name), name
    assert not made["deletion_allowed"]


def test_another_key_that_came_in_between_is_looked_at(bao: Bao) -> None:
    """Transit says of it, too, that it was made."""
    bao.make_key("earlier")
    root = str(bao.keep_token("root", ROOT_TOKEN))
    store = providers.make(bao.settings("earlier", vault_token_file=root))
    with pytest.raises(KeyProviderError, match="can be read out of Vault"):
        store.make("theirs", lambda: bao.make_key("theirs", exportable=True))


def test_the_token_is_read_anew(bao: Bao) -> None:
    bao.make_key("renewed")
    token_file = bao.keep_token("renewed", "ended")
    provider = providers.make(bao.settings("renewed", vault_token_file=str(token_file)))
    with pytest.raises(KeyProviderError, match=r"refuses the token in .*renewed"):
        provider.wrap(b"context", b"k" * 32)
    bao.keep_token("renewed", bao.token_file.read_text())
    wrapped = provider.wrap(b"context", b"k" * 32)
    assert provider.unwrap(b"context", wrapped) == b"k" * 32
    token_file.chmod(0o644)
    with pytest.raises(KeyProviderError, match="chmod 600"):
        provider.unwrap(b"context", wrapped)


def test_another_mount(bao: Bao) -> None:
    bao.make_key("mounted")
    root = str(bao.keep_token("root", ROOT_TOKEN))
    elsewhere = bao.settings("mounted", vault_mount="kms", vault_token_file=root)
    with pytest.raises(KeyProviderError, match="does not exist under 'kms'"):
        providers.make(elsewhere).wrap(b"context", b"k" * 32)


@pytest.mark.parametrize("name", ["vault_url", "vault_token_file", "kek_current"])
def test_what_is_not_set_is_named(bao: Bao, name: str) -> None:
    settings = bao.settings("kek", **{name: ""}) if name != "kek_current" else None
    with pytest.raises(SettingsError, match=f"VOTEPYRAMID_{name.upper()}"):
        providers.make(settings or bao.settings(""))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("vault_url", "http://vault.example:8200", "must be over https"),
        ("vault_url", "vault.example:8200", "must be over https"),
        ("kek_current", "../sys/seal", "not the name of a transit key"),
    ],
)
def test_what_is_refused_before_anything_is_sent(
    tmp_path: Path, name: str, value: str, says: str
) -> None:
    ours = {
        "kek_provider": "vault",
        "kek_current": "kek",
        "vault_url": "https://vault.example:8200",
        "vault_token_file": str(tmp_path / "token"),
    }
    with pytest.raises(SettingsError, match=says):
        providers.make(Settings(**{**ours, name: value}))  # type: ignore[arg-type]


class Faulty(BaseHTTPRequestHandler):
    """A server that shows a good key, and fails when it is to encrypt under it."""

    drips = False
    # What it answers when a key is to be deleted, one after the other; 0 is nothing.
    deleting: tuple[int, ...] = ()
    deleted = 0

    def do_GET(self) -> None:
        body = b'{"data": {"derived": true}}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_DELETE(self) -> None:
        status = self.deleting[type(self).deleted]
        type(self).deleted += 1
        if status:
            body = b'{"errors": ["could not delete key; not found"]}'
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def do_POST(self) -> None:
        if self.deleting:
            self.send_response(204)
            self.end_headers()
        if self.drips:
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            for _ in range(30):
                self.wfile.write(b" ")
                time.sleep(0.1)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Settings]:
    (tmp_path / "token").touch(0o600)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Settings(
        kek_provider="vault",
        kek_current="kek",
        kek_timeout=0.8,
        vault_url=f"http://127.0.0.1:{server.server_port}",
        vault_token_file=str(tmp_path / "token"),
    )
    server.shutdown()
    server.server_close()


def test_the_request_is_not_kept_in_the_error(faulty: Settings) -> None:
    """The library's own error holds it, and the key with it."""
    key = b"0123456789abcdef" * 2
    provider = providers.make(faulty)
    error = refused(lambda: provider.wrap(b"context", key), key)
    assert "ConnectionError" in str(error)


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(
    faulty: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Faulty, "drips", True)
    began = time.monotonic()
    with pytest.raises(KeyProviderError, match=r"Vault did not answer in 0\.8 s"):
        providers.make(faulty).wrap(b"context", b"k" * 32)
    assert time.monotonic() - began < 2.5


def test_a_deletion_that_is_sent_twice_is_done(
    faulty: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke over the first answer; then there is no such key."""
    monkeypatch.setattr(Faulty, "deleting", (0, 400))
    monkeypatch.setattr(Faulty, "deleted", 0)
    assert "destroyed under 'transit'" in providers.make(faulty).destroy("kek")
    assert Faulty.deleted == 2


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_deletion_that_a_proxy_did_not_see_answered_may_be_done(
    faulty: Settings, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(Faulty, "deleting", (status,))
    monkeypatch.setattr(Faulty, "deleted", 0)
    with pytest.raises(Unanswered):
        providers.make(faulty).destroy("kek")
