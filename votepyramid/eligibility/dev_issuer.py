"""The development issuer: signs anyone in as anyone, voter or operator. Never in
production.

Its private key is the JWK in `var/secrets/dev-issuer.json`; the public part is in the
key set beside it, which a development web process trusts.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from joserfc.jwk import OKPKey

from votepyramid.eligibility import token_keys
from votepyramid.eligibility.identity import DEV_ISSUER
from votepyramid.eligibility.token_keys import NoTokenKey
from votepyramid.eligibility.voter_ids import VOTER_ID_PATTERN, is_voter_id
from votepyramid.settings import Settings, SettingsError

KEY_FILE = "dev-issuer.json"
MAX_LIFETIME = 24 * 3600


class DevIssuer:
    """Signs tokens. Raises SettingsError under production settings."""

    def __init__(self, settings: Settings, key_file: str | Path) -> None:
        if settings.production:
            raise SettingsError(
                "the development issuer's tokens are for development: set "
                "VOTEPYRAMID_ENVIRONMENT=development, or get tokens from the identity "
                "provider"
            )
        self._audience = settings.require("jwt_audience")
        self._operators = settings.operator_audience
        self._key = _load(Path(key_file))

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The issuer that these settings trust. Raises SettingsError."""
        key_set = Path(settings.require("jwt_jwks"))
        return cls(settings, key_set.with_name(KEY_FILE))

    def token(self, voter_id: str, lifetime: int = 3600) -> str:
        """A voter's token, valid for `lifetime` seconds. Raises ValueError."""
        if not is_voter_id(voter_id):
            raise ValueError(f"a voter id matches {VOTER_ID_PATTERN}")
        return self._sign(lifetime, aud=self._audience, sub=voter_id)

    def operator_token(
        self, name: str, roles: Sequence[str], lifetime: int = 3600
    ) -> str:
        """An operator's token, with an id so that it can be used once.

        Raises ValueError, and SettingsError without `operator_audience`.
        """
        if not is_voter_id(name):
            raise ValueError(f"an operator's name matches {VOTER_ID_PATTERN}")
        if not self._operators:
            raise SettingsError("votepyramid.operator_audience is not set")
        return self._sign(
            lifetime,
            aud=self._operators,
            sub=name,
            roles=list(roles),
            jti=secrets.token_urlsafe(16),
        )

    def _sign(self, lifetime: int, **about: Any) -> str:
        if not 0 < lifetime <= MAX_LIFETIME:
            raise ValueError(f"a lifetime is 1 to {MAX_LIFETIME} seconds")
        return token_keys.sign(self._key, {"iss": DEV_ISSUER, **about}, lifetime)


def _load(path: Path) -> OKPKey:
    try:
        return token_keys.parse(path.read_bytes())
    except OSError as error:
        raise SettingsError(
            f"cannot read the development issuer's key {path}: {error.strerror}; "
            "`votepyramid up` makes one"
        ) from None
    except NoTokenKey:
        raise SettingsError(f"{path} is not the development issuer's key") from None
