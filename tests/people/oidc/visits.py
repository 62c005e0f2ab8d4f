"""Somebody at a provider that answers whatever a test wants."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import Engine

from votepyramid.people.oidc import flow
from votepyramid.people.oidc.flow import Answer
from votepyramid.people.oidc.id_tokens import Identity
from votepyramid.people.oidc.provider import Client, Provider
from votepyramid.people.oidc.requests import Asked

ID = "votepyramid"
SECRET = "a/b+c="


def us(issuer: str, **how: Any) -> Provider:
    """What a process of ours has, for a provider at that address."""
    client = Client(issuer, ID, SECRET, "https://admin.example.org/back", "Elsewhere")
    return Provider(client, **how)


class Visit:
    """Somebody who has gone there; what comes back is up to the test."""

    def __init__(
        self, engine: Engine, provider: Provider, purpose: Any = "sign_in"
    ) -> None:
        self._engine = engine
        self._provider = provider
        self.leaving = flow.begin(engine, provider, Asked(purpose))
        query = parse_qs(urlsplit(self.leaving.address).query)
        self.state, self.nonce = query["state"][0], query["nonce"][0]

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Those that are right; a change to None takes a claim away."""
        now = int(time.time())
        made = {
            "iss": self._provider.client.issuer,
            "aud": ID,
            "sub": "4711",
            "iat": now,
            "exp": now + 300,
            "auth_time": now,
            "nonce": self.nonce,
            **changes,
        }
        return {name: value for name, value in made.items() if value is not None}

    def finish(self) -> Identity:
        answer = Answer(self.state, "code", None, None)
        kept = self.leaving.secret
        return flow.finish(self._engine, self._provider, kept, answer)[1]
