"""The development issuer: signs anyone in as anyone. Never in production.

Its private key is the JWK in `var/secrets/dev-issuer.json`; the public part is in the
key set beside it, which a development web process trusts.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Self

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from votepyramid.eligibility.identity import DEV_ISSUER, REGISTRY
from votepyramid.eligibility.voter_ids import VOTER_ID_PATTERN, is_voter_id
from votepyramid.protocol.encoding import ProtocolError, jcs, strict_json
from votepyramid.settings import Settings, SettingsError

KEY_FILE = "dev-issuer.json"
MAX_LIFETIME = 24 * 3600
_MEMBERS = ("kty", "crv", "kid", "x", "d")


class DevIssuer:
    """Signs tokens for voters. Raises SettingsError under production settings."""

    def __init__(self, settings: Settings, key_file: str | Path) -> None:
        if settings.production:
            raise SettingsError(
                "voter tokens are for development: set VOTEPYRAMID_ENVIRONMENT="
                "development, or get tokens from the identity provider"
            )
        self._audience = settings.require("jwt_audience")
        self._key = _load(Path(key_file))

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The issuer that these settings trust. Raises SettingsError."""
        key_set = Path(settings.require("jwt_jwks"))
        return cls(settings, key_set.with_name(KEY_FILE))

    def token(self, voter_id: str, lifetime: int = 3600) -> str:
        """A signed token, valid for `lifetime` seconds. Raises ValueError."""
        if not is_voter_id(voter_id):
            raise ValueError(f"a voter id matches {VOTER_ID_PATTERN}")
        if not 0 < lifetime <= MAX_LIFETIME:
            raise ValueError(f"a lifetime is 1 to {MAX_LIFETIME} seconds")
        now = int(time.time())
        claims = {
            "iss": DEV_ISSUER,
            "aud": self._audience,
            "sub": voter_id,
            "iat": now,
            "exp": now + lifetime,
        }
        header: dict[str, Any] = {
            "alg": "EdDSA",
            "typ": "JWT",
            "kid": self._key.kid,
        }
        return jws.serialize_compact(header, jcs(claims), self._key, registry=REGISTRY)


def _load(path: Path) -> OKPKey:
    try:
        members = strict_json(path.read_bytes(), 4096)
        key = OKPKey.import_key({n: members[n] for n in _MEMBERS})
    except OSError as error:
        raise SettingsError(
            f"cannot read the development issuer's key {path}: {error.strerror}; "
            "`votepyramid up` makes one"
        ) from None
    except (JoseError, ProtocolError, ValueError, LookupError, TypeError):
        raise SettingsError(f"{path} is not the development issuer's key") from None
    if not key.is_private or not key.kid:
        raise SettingsError(f"{path} is not the development issuer's key")
    return key
