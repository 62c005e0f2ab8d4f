"""Who may do what on the administrators' pages: the whole map, to be read at once.

A person may have several roles; what any of them allows is allowed.
"""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """What a view asks for. Every view names one."""

    # Everybody with a session: showing their security key, and leaving.
    ENTER = "enter"
    # Everybody who is signed in: their own account.
    OWN = "own"
    # How elections, work and the machinery stand.
    READ = "read"
    # Temporal's web console, its histories sealed.
    CONSOLE = "console"
    # What is sealed in histories, as the codec server opens it.
    OPEN = "open"
    # Audit events, which exports there are, who the people are. Asking for an export is
    # an auditor's too: it copies what there is, and changes nothing of an election.
    AUDIT = "audit"
    # A whole export, opened: more than all else that can be read here.
    EXPORT = "export"
    # What gets work going again and changes no vote's fate.
    OPERATE = "operate"
    # Elections, people, and what changes a vote's fate, with a second administrator.
    ADMINISTER = "administer"


_P = Permission
_SEE = frozenset({_P.ENTER, _P.OWN, _P.READ, _P.CONSOLE})
ALLOWED: dict[str, frozenset[Permission]] = {
    "viewer": _SEE,
    "operator": _SEE | {_P.OPEN, _P.OPERATE},
    "administrator": frozenset(_P),
    "auditor": _SEE | {_P.OPEN, _P.AUDIT, _P.EXPORT},
}


def allows(roles: tuple[str, ...], permission: str) -> bool:
    """Whether any of the roles allows it."""
    return any(permission in ALLOWED.get(role, frozenset()) for role in roles)


def who_may(permission: str) -> list[str]:
    """The roles that allow it, in the order of the map."""
    return [role for role, allowed in ALLOWED.items() if permission in allowed]
