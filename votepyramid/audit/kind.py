"""What a kind of audit event is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NONE = "none"
# Who acts: in the detail of every operator's event.
BY = "by"


class Cause(StrEnum):
    """Who brings events of a kind about.

    What a VOTER causes is dated by the hour in the log, all else by the second. So are
    keys: a worker makes a data key for a vote that waits, and each row names its own.
    """

    VOTER = "voter"
    OPERATOR = "operator"
    ENGINE = "engine"


@dataclass(frozen=True)
class Kind:
    """A kind of event: when there is one, what its subject is, what its detail has."""

    name: str
    cause: Cause
    when: str
    subject: str = NONE
    detail: tuple[str, ...] = ()

    @property
    def members(self) -> frozenset[str]:
        """The names that the detail of such an event has, all of them."""
        acts = self.cause is Cause.OPERATOR
        return frozenset(self.detail) | ({BY} if acts else frozenset())
