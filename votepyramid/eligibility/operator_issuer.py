"""The administrators' pages as the issuer of operators' tokens.

Who is signed in there has payloads opened by the codec server. It knows nobody's
session: for each call it gets a token that says who asks, and holds for a minute.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from joserfc.jwk import OKPKey

from votepyramid.eligibility import token_keys
from votepyramid.eligibility.operators import ROLES
from votepyramid.eligibility.token_keys import NoTokenKey
from votepyramid.keys import secret_file
from votepyramid.settings import Settings, SettingsError

LIFETIME = 60


class OperatorIssuer:
    """Signs as `operator_issuer` with the key in `operator_key_file`.

    Threads may share it. Raises SettingsError or KeyProviderError with what to set.
    """

    def __init__(self, settings: Settings) -> None:
        self._issuer = settings.require("operator_issuer")
        self._audience = settings.require("operator_audience")
        self._key = _read(settings.require("operator_key_file"))

    def token(self, name: str, roles: Sequence[str]) -> str:
        """Says who asks, with the roles that the codec server knows."""
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": name,
            "roles": [role for role in roles if role in ROLES],
            "jti": secrets.token_urlsafe(16),
        }
        return token_keys.sign(self._key, claims, LIFETIME)


def _read(path: str) -> OKPKey:
    try:
        return token_keys.parse(secret_file.read(Path(path)).encode())
    except NoTokenKey:
        raise SettingsError(
            f"operator_key_file is {path}, which is not the private part of a key that "
            "`votepyramid operator keygen` made"
        ) from None
