"""The one OpenID provider of the settings: what it is asked, and what its answer says.

The authorization code flow with PKCE (OpenID Connect Core 1.0, section 3.1; RFC 9700).
A token is read once, to learn who somebody is; none is kept, and none is logged.
"""

from __future__ import annotations

import base64
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from votepyramid.jose.fetching import SECONDS, FetchError, fetch
from votepyramid.jose.key_sets import KeySource
from votepyramid.jose.sources import Source, SourceError
from votepyramid.keys import secret_file
from votepyramid.keys.provider import KeyProviderError
from votepyramid.people.oidc import discovery, id_tokens
from votepyramid.people.oidc.discovery import Metadata
from votepyramid.people.oidc.id_tokens import Expected, Identity
from votepyramid.people.oidc.requests import Proofs
from votepyramid.people.sessions import LIFETIME
from votepyramid.protocol.encoding import ProtocolError, strict_json
from votepyramid.settings import Settings, SettingsError

CALLBACK = "/sign-in/callback"
MAX_ANSWER = 64 * 1024
# Who has signed in there longer ago is asked there again: a session's whole life.
_OLDEST_S = int(LIFETIME.total_seconds())
# What a provider may say of a code (RFC 6749, section 5.2): no other word is logged.
_ERRORS = {
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
}


class BadAnswer(Exception):
    """Why an answer is not taken: a kind, for the log alone."""


@dataclass(frozen=True)
class Client:
    """What we are at the provider. Without a secret, a public client."""

    issuer: str
    id: str
    secret: str = field(repr=False)
    redirect_uri: str
    name: str

    @classmethod
    def of(cls, settings: Settings, origin: str) -> Client | None:
        """As the settings have it; None where they name no provider.

        `origin` is that of the pages. Raises SettingsError for an unusable file.
        """
        if not settings.oidc_issuer:
            return None
        shown = settings.oidc_name or urlsplit(settings.oidc_issuer).hostname or ""
        return cls(
            settings.oidc_issuer,
            settings.oidc_client_id,
            _secret(settings),
            f"{origin}{CALLBACK}",
            shown,
        )


class Provider:
    """Threads may share it. Nothing is fetched before it is needed.

    An answer may take so many `seconds`. `now` gives Unix seconds, `clock` those that
    only grow.
    """

    def __init__(
        self,
        client: Client,
        *,
        seconds: float = SECONDS,
        ssl_context: ssl.SSLContext | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self._now = now
        self._fetching: dict[str, Any] = {
            "seconds": seconds,
            "ssl_context": ssl_context,
        }
        self._how = {
            **self._fetching,
            "insecure": client.issuer.startswith("http://"),
            "clock": clock,
        }
        self._document: Source[Metadata] = Source(
            discovery.address(client.issuer),
            "the discovery document",
            partial(discovery.parse, issuer=client.issuer),
            **self._how,
        )
        self._lock = threading.Lock()
        self._keys: tuple[str, KeySource] | None = None

    def prepare(self) -> None:
        """Have the discovery document. Raises SourceError."""
        self._document.current()

    def address(self, proofs: Proofs, *, prompt: bool) -> str:
        """Where the browser goes to sign in (section 3.1.2.1).

        `prompt`: they are asked there, also when they are signed in. Raises
        SourceError without a discovery document.
        """
        endpoint = self._document.current().authorization_endpoint
        query = {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": self.client.redirect_uri,
            "scope": "openid",
            "state": proofs.state,
            "nonce": proofs.nonce,
            "code_challenge": proofs.challenge,
            "code_challenge_method": "S256",
        }
        # Whoever is given a max_age says when it was that somebody signed in.
        query["max_age"] = "0" if prompt else str(_OLDEST_S)
        if prompt:
            query["prompt"] = "login"
        joint = "&" if "?" in endpoint else "?"
        return f"{endpoint}{joint}{urlencode(query)}"

    def check_issuer(self, named: str | None) -> None:
        """Whether an answer is this provider's (RFC 9207). Raises BadAnswer."""
        if named is None and self._document.current().names_issuer:
            raise BadAnswer("no iss in the answer")
        if named is not None and named != self.client.issuer:
            raise BadAnswer("another iss in the answer")

    def identity(
        self, code: str, proofs: Proofs, asked: float, *, afresh: bool
    ) -> Identity:
        """Whose code it is; `asked` is how many seconds ago they went there.

        Raises BadAnswer, InvalidToken, NotAfresh, and SourceError when the provider
        does not answer as it must.
        """
        document = self._document.current()
        token = self._redeem(document.token_endpoint, code, proofs.verifier)
        expected = Expected(self.client.issuer, self.client.id, proofs.nonce, asked)
        keys = self._key_source(document.jwks_uri)
        found = id_tokens.read(token, keys, expected, self._now())
        if afresh:
            id_tokens.check_afresh(found, expected)
        return found

    def lacks(self) -> list[str]:
        """What it says it cannot, and we need. Fetches anew. Raises SourceError."""
        self._document.refresh()
        found = self._document.current()
        self._key_source(found.jwks_uri).refresh()
        return discovery.lacks(found, secret=bool(self.client.secret))

    def tells_time(self) -> bool | None:
        """Whether it says that it tells `auth_time`; None when it does not say."""
        claims = self._document.current().claims
        return None if claims is None else "auth_time" in claims

    def _key_source(self, address: str) -> KeySource:
        with self._lock:
            if self._keys is None or self._keys[0] != address:
                self._keys = address, KeySource(address, **self._how)
            return self._keys[1]

    def _redeem(self, endpoint: str, code: str, verifier: str) -> str:
        """The ID token for a code (section 3.1.3); what else comes is let go."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uri,
            "code_verifier": verifier,
        }
        headers = {}
        if self.client.secret:
            headers["Authorization"] = _basic(self.client)
        else:
            form["client_id"] = self.client.id
        try:
            answer = fetch(
                endpoint,
                limit=MAX_ANSWER,
                form=form,
                headers=headers,
                **self._fetching,
            )
        except FetchError as error:
            raise SourceError(f"the token endpoint: {error}") from None
        return _id_token(answer.status, answer.body)


def _id_token(status: int, body: bytes) -> str:
    if status >= 500 or status not in (200, 400, 401):
        raise SourceError(f"the token endpoint said {status}")
    try:
        document = strict_json(body, MAX_ANSWER)
    except ProtocolError:
        raise SourceError("the token endpoint said no JSON") from None
    found = document if isinstance(document, dict) else {}
    if status != 200:
        said = found.get("error")
        known = isinstance(said, str) and said in _ERRORS
        raise BadAnswer(f"the token endpoint said {said if known else status}")
    token, kind = found.get("id_token"), found.get("token_type")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise BadAnswer("no token of type Bearer")
    if not isinstance(token, str):
        raise BadAnswer("no ID token")
    return token


def _basic(client: Client) -> str:
    """RFC 6749, section 2.3.1: both are encoded as in a form first.

    A blank as %20: that reads the same for who decodes a form or an address.
    """
    pair = f"{quote(client.id, safe='')}:{quote(client.secret, safe='')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _secret(settings: Settings) -> str:
    if not settings.oidc_client_secret_file:
        return settings.oidc_client_secret
    try:
        found = secret_file.read(Path(settings.oidc_client_secret_file)).strip()
    except KeyProviderError as error:
        raise SettingsError(f"oidc_client_secret_file: {error}") from None
    if not found:
        raise SettingsError("oidc_client_secret_file: there is nothing in the file")
    return found
