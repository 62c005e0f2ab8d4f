"""Which of the operators is asking, and in which role.

The same strict tokens as voters', of the operators' own identity provider, with a
claim `roles`: a list of texts, of which at least one is known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from votepyramid.eligibility.identity import TokenVerifier
from votepyramid.errors import Code, Refused
from votepyramid.jose.signed import InvalidToken
from votepyramid.settings import Settings

# The strongest first: the role that a log line names.
ROLES = ("administrator", "operator", "auditor")
MAX_ROLES = 64
MAX_ID_LENGTH = 128


@dataclass(frozen=True)
class Operator:
    """Who signed in, until `expires` in Unix seconds; `token_id` is its `jti` or ""."""

    subject: str
    role: str
    expires: float
    token_id: str = ""


class OperatorVerifier(TokenVerifier):
    """Turns an operator's token into who it is. Raises as TokenVerifier."""

    def __init__(self, settings: Settings, **how: Any) -> None:
        super().__init__(settings, "operator", **how)

    def operator(self, token: str) -> Operator:
        """Raises Refused: UNAUTHENTICATED, UNAVAILABLE, and FORBIDDEN for a valid
        token that carries none of the roles."""
        found = self.read(token, _operator)
        if not found.role:
            raise Refused(Code.FORBIDDEN, extras={"reason": "no_role"})
        return found


def _operator(claims: dict[str, Any]) -> Operator:
    roles = claims.get("roles", [])
    if (
        not isinstance(roles, list)
        or len(roles) > MAX_ROLES
        or not all(isinstance(role, str) for role in roles)
    ):
        raise InvalidToken("no usable roles")
    token_id = claims.get("jti", "")
    if not isinstance(token_id, str) or len(token_id) > MAX_ID_LENGTH:
        raise InvalidToken("no usable jti")
    role = next((one for one in ROLES if one in roles), "")
    return Operator(str(claims["sub"]), role, float(claims["exp"]), token_id)
