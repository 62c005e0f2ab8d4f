"""Key-encryption keys in the transit engine of Vault or OpenBao.

A wrapped key is `len(name) ‖ name ‖ "vault:v…:…"`. The context is bound by transit's
key derivation: each context has a key of its own, so that another does not open
what this one sealed. A key without derivation would take the context and ignore it,
and a server too old for `associated_data` ignores that; so a key is looked at before
it wraps, and must be derived. The same look keeps a key that was destroyed from
coming back: encrypting under a name that transit does not know makes it.

The versions of a key are transit's business. The token is read from its file at
every call, as an agent renews it there.
"""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hvac
from hvac import exceptions as refusals
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException
from urllib3.util.retry import Retry

from votepyramid.keys import secret_file
from votepyramid.keys.names import KekNames, checked_fresh
from votepyramid.keys.provider import (
    Announce,
    KekGone,
    KekTaken,
    KeyProviderError,
    NotAllowed,
    Unanswered,
    WrongContext,
)
from votepyramid.protocol.encoding import NotCanonical, unb64
from votepyramid.settings import SettingsError

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_SEALED = re.compile(r"vault:v[1-9][0-9]*:(\S+)")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_ATTEMPTS = 2
_FRESH = {
    "key_type": "aes256-gcm96",
    "derived": True,
    "convergent_encryption": False,
    "exportable": False,
    "allow_plaintext_backup": False,
}
# What may have been done all the same, here or behind a proxy.
_UNSURE = (
    RequestException,
    refusals.InternalServerError,
    refusals.BadGateway,
    refusals.UnexpectedError,
)
_ALTERED = ("message authentication failed", "invalid ciphertext")


class VaultKeys:
    """A KeyProvider on one transit engine. Not safe to share between threads.

    One call takes about `seconds` at most; `Bounded` sees to the rest. Raises
    SettingsError for an address or a name that it will not use.
    """

    def __init__(
        self, url: str, token_file: Path, mount: str, names: KekNames, seconds: float
    ) -> None:
        for name in names.all:
            if not _NAME.fullmatch(name):
                raise SettingsError(f"{name!r} is not the name of a transit key")
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise SettingsError(f"vault_url must be over https, not {url!r}")
        self._names = names
        self._token_file = token_file
        self._mount = mount
        # A redirect would take the token along to wherever it leads.
        self._client = hvac.Client(
            url, token="", timeout=seconds / _ATTEMPTS, allow_redirects=False
        )
        # A connection that was kept is often found closed; asking twice is harmless.
        again = Retry(_ATTEMPTS - 1, allowed_methods=None, redirect=0)
        for scheme in ("http://", "https://"):
            self._client.adapter.session.mount(scheme, HTTPAdapter(max_retries=again))

    def wrap(self, context: bytes, key: bytes) -> bytes:
        name = self._names.current
        self._check(name)
        sealed = self._ask(
            "encrypt_data", "ciphertext", name, _b64(context), plaintext=_b64(key)
        )
        return self._names.join(sealed.encode())

    def unwrap(self, context: bytes, wrapped: bytes) -> bytes:
        name, body = self._names.split(wrapped)
        sealed = _canonical(body)
        key = self._ask(
            "decrypt_data", "plaintext", name, _b64(context), ciphertext=sealed
        )
        return base64.b64decode(key)

    def make(self, name: str, announce: Announce) -> str:
        """As KekStore. Transit would take a key that is there for made."""
        checked_fresh(name)
        with suppress(KekGone):
            self._call("read_key", name)
            raise KekTaken(
                f"transit key {name!r} is there already: name it in kek_current if it "
                "was made for this, or take another name"
            )
        announce()
        self._send("create_key", name, **_FRESH)
        self._check(name)
        return name

    def destroy(self, name: str) -> str:
        """As KekStore. Allows the deletion first: transit's default forbids it."""
        self._call("read_key", name)
        # It is there. What is sent twice, as a connection broke, finds it gone.
        with suppress(KekGone):
            self._send("update_key_configuration", name, deletion_allowed=True)
            self._send("delete_key", name)
        return f"destroyed under {self._mount!r}; backups of the server may have it"

    def _check(self, name: str) -> None:
        """Raises KeyProviderError for a key that does not bind, or can be read."""
        found = self._call("read_key", name)
        if not found.get("derived"):
            raise KeyProviderError(
                f"transit key {name!r} binds no context: make one with derived=true "
                "and type=aes256-gcm96"
            )
        if found.get("exportable") or found.get("allow_plaintext_backup"):
            raise KeyProviderError(
                f"transit key {name!r} can be read out of Vault: make one that is "
                "not exportable"
            )

    def _ask(self, call: str, wanted: str, name: str, context: str, **what: str) -> str:
        answer = self._call(call, name, context=context, **what).get(wanted)
        if not isinstance(answer, str):
            raise KeyProviderError("Vault gave an answer that is none")
        return answer

    def _call(self, call: str, name: str, **what: str) -> dict[str, Any]:
        answer = self._send(call, name, **what)
        if isinstance(answer, dict) and isinstance(answer.get("data"), dict):
            return dict(answer["data"])
        raise KeyProviderError("Vault gave an answer that is none")

    def _send(self, call: str, name: str, **what: Any) -> Any:
        self._client.token = secret_file.read(self._token_file).strip()
        method = getattr(self._client.secrets.transit, call)
        try:
            return method(name, mount_point=self._mount, **what)
        except (refusals.VaultError, RequestException, ValueError) as error:
            problem = self._explain(error, name)
        # Out here no traceback leads to the request, in which the key is.
        raise problem

    def _explain(self, error: Exception, name: str) -> KeyProviderError:
        """Never the error's own text, which may repeat what was sent."""
        said = " ".join(map(str, getattr(error, "errors", None) or []))
        key = f"transit key {name!r}"
        if isinstance(error, refusals.InvalidRequest):
            if any(words in said for words in _ALTERED):
                return WrongContext("wrapped for another context, or altered")
            if "not found" in said:
                return KekGone(f"{key} does not exist: destroyed")
            if "disallowed by policy" in said:
                return KekGone(f"{key}: this version of it was retired")
        if isinstance(error, refusals.Forbidden):
            return NotAllowed(
                f"Vault refuses the token in {self._token_file} for {key}: it has "
                "ended, or lacks a policy"
            )
        sentences: dict[type[Exception], str] = {
            refusals.InvalidPath: f"{key} does not exist under {self._mount!r}: "
            "destroyed, or never made",
            refusals.VaultDown: "Vault is sealed, or not the active one",
        }
        refused = f"Vault cannot be asked: {type(error).__name__}"
        if isinstance(error, _UNSURE):
            return Unanswered(refused)
        gone = isinstance(error, refusals.InvalidPath)
        made = KekGone if gone else KeyProviderError
        return made(sentences.get(type(error), refused))


def _canonical(body: bytes) -> str:
    """Transit's text, in its one spelling: it would take v0 for v1, and stray bits."""
    found = _SEALED.fullmatch(body.decode("ascii", "replace"))
    with suppress(NotCanonical):
        if found is not None:
            unb64(found[1])
            return found[0]
    raise WrongContext("wrapped for another context, or altered")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
