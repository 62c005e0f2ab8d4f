"""A real OpenID provider over HTTP: Authlib's own server, and people who sign in there.

What matters in it is Authlib's: how clients authenticate, codes that are good once,
PKCE, ID tokens, `iss` in answers. Ours are the page that asks who somebody is, and that
`prompt=login` and `max_age` are heeded, as a provider must.

It runs in a thread of the tests. Its pages are at an address where ours are at a name,
so that a browser takes the two for different sites.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import flask
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, OAuth2Error
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core import AuthorizationCodeMixin, OpenIDCode
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

PAGE = """<!doctype html><html lang="en"><title>The provider</title>
<h1>The provider</h1><form method="post"><label>Who are you?
<input name="who" required></label><button>Enter</button>
<button name="refuse" value="1" formnovalidate>Refuse</button></form></html>"""


@dataclass
class Client(ClientMixin):  # type: ignore[misc]
    """A relying party; without a secret a public one, which has to use PKCE."""

    id: str
    secret: str
    redirect_uri: str

    def get_client_id(self) -> str:
        return self.id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(one for one in scope.split() if one == "openid")

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return bool(self.secret) and client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == ("client_secret_basic" if self.secret else "none")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    """A code that waits to be redeemed, and who signed in for it when."""

    who: str
    client: str
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str
    code_challenge_method: str
    auth_time: int | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> int | None:
        return self.auth_time


@dataclass
class User:
    """Somebody who has signed in, at a time in Unix seconds."""

    who: str
    at: int


@dataclass
class OpenIdProvider:
    """`tells_time` and `heeds_prompt` may be switched off: not every provider does.

    `since` is how many seconds ago whoever is signed in there seems to have done so.
    """

    clients: dict[str, Client] = field(default_factory=dict)
    tells_time: bool = True
    heeds_prompt: bool = True
    since: int = 0
    issuer: str = ""
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, auto_kid=True))
    codes: dict[str, Code] = field(default_factory=dict)
    # What its discovery document says otherwise.
    changes: dict[str, Any] = field(default_factory=dict)
    # What browsers have been led here with, the newest last.
    asked: list[dict[str, str]] = field(default_factory=list)

    def register(self, origin: str, *, secret: str = "") -> Client:
        """A client whose answers go to the pages at that origin."""
        number = len(self.clients) + 1
        made = Client(f"votepyramid {number}", secret, f"{origin}/sign-in/callback")
        self.clients[made.id] = made
        return made

    def rotate(self) -> None:
        """From now on it signs with another key, and shows no other."""
        self.key = RSAKey.generate_key(2048, auto_kid=True)

    def document(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "none"],
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": ["sub", "auth_time"],
            "authorization_response_iss_parameter_supported": True,
            **self.changes,
        }


@contextmanager
def running() -> Iterator[OpenIdProvider]:
    """One on a free port of 127.0.0.1."""
    # Authlib takes plain HTTP only when told that this is no accident.
    before = os.environ.get("AUTHLIB_INSECURE_TRANSPORT")
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    provider = OpenIdProvider()
    server = make_server("127.0.0.1", 0, _application(provider), threaded=True)
    provider.issuer = f"http://127.0.0.1:{server.server_port}/realm"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield provider
    server.shutdown()
    server.server_close()
    if before is None:
        del os.environ["AUTHLIB_INSECURE_TRANSPORT"]


def _application(provider: OpenIdProvider) -> flask.Flask:
    app = flask.Flask("provider")
    app.secret_key = os.urandom(16)
    app.logger.disabled = True
    server = _server(provider, app)
    realm = flask.Blueprint("realm", "provider", url_prefix="/realm")

    @realm.get("/.well-known/openid-configuration")
    def discovery() -> Any:
        return provider.document()

    @realm.get("/jwks")
    def jwks() -> Any:
        return {"keys": [provider.key.as_dict(private=False)]}

    @realm.get("/authorize")
    def authorize() -> Any:
        provider.asked.append(dict(flask.request.args))
        user = _signed_in(provider)
        if user is None:
            return PAGE
        grant = server.get_consent_grant(end_user=user)
        return server.create_authorization_response(grant_user=user, grant=grant)

    @realm.post("/authorize")
    def enter() -> Any:
        user = User(flask.request.form["who"], int(time.time()))
        refuses = "refuse" in flask.request.form
        if not refuses:
            flask.session["who"], flask.session["at"] = user.who, user.at
        try:
            grant = server.get_consent_grant(end_user=user)
        except OAuth2Error as error:
            return str(error), 400
        grant_user = None if refuses else user
        return server.create_authorization_response(grant_user=grant_user, grant=grant)

    @realm.post("/token")
    def token() -> Any:
        return server.create_token_response()

    app.register_blueprint(realm)
    return app


def _signed_in(provider: OpenIdProvider) -> User | None:
    """Who is signed in there, unless they are to be asked again."""
    session, asked = flask.session, flask.request.args
    if "who" not in session:
        return None
    user = User(session["who"], session["at"])
    if not provider.heeds_prompt:
        return user
    late = "max_age" in asked and time.time() - user.at > int(asked["max_age"])
    return None if asked.get("prompt") == "login" or late else user


def _auth_time(provider: OpenIdProvider, user: User, asked: Any) -> int | None:
    """Told only where it has to be: OpenID Connect Core 1.0, section 2."""
    told = provider.tells_time and "max_age" in asked
    return user.at - provider.since if told else None


def _server(provider: OpenIdProvider, app: flask.Flask) -> AuthorizationServer:
    server = AuthorizationServer(
        app, query_client=provider.clients.get, save_token=lambda token, request: None
    )

    class Grant(AuthorizationCodeGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "none")

        def save_authorization_code(self, code: str, request: Any) -> None:
            data = request.payload.data
            provider.codes[code] = Code(
                request.user.who,
                request.client.id,
                request.payload.redirect_uri,
                request.payload.scope,
                data.get("nonce", ""),
                data.get("code_challenge", ""),
                data.get("code_challenge_method", ""),
                _auth_time(provider, request.user, data),
            )

        def query_authorization_code(self, code: str, client: Client) -> Code | None:
            found = provider.codes.get(code)
            return found if found and found.client == client.id else None

        def delete_authorization_code(self, authorization_code: Code) -> None:
            for code, kept in list(provider.codes.items()):
                if kept is authorization_code:
                    del provider.codes[code]

        def authenticate_user(self, authorization_code: Code) -> str:
            return authorization_code.who

    class Tokens(OpenIDCode):  # type: ignore[misc]
        def exists_nonce(self, nonce: str, request: Any) -> bool:
            return False

        def resolve_client_private_key(self, client: Client) -> Any:
            return provider.key

        def get_encode_header(self, client: Client) -> dict[str, str]:
            return {"alg": "RS256", "kid": provider.key.kid}

        def get_client_claims(self, client: Client) -> dict[str, Any]:
            return {"iss": provider.issuer}

        def get_compatible_claims(self, request: Any) -> dict[str, Any]:
            claims: dict[str, Any] = super().get_compatible_claims(request)
            # Else it would say now, whenever that was.
            del claims["auth_time"]
            return claims

        def generate_user_info(self, user: str, scope: str) -> dict[str, Any]:
            return {"sub": user, "email": "ada@example.org"}

    class Issuer(IssuerParameter):  # type: ignore[misc]
        def get_issuer(self) -> str:
            return provider.issuer

    server.register_grant(Grant, [Tokens(require_nonce=True), CodeChallenge(True)])
    server.register_extension(Issuer())
    return server
