"""What the server says of one election's public log: asked, and not yet believed."""

from __future__ import annotations

from typing import TypeVar

from votepyramid.client import steps
from votepyramid.client.errors import (
    ElectionUnreachable,
    Refused,
    UnexpectedAnswer,
)
from votepyramid.client.policy import RetryPolicy
from votepyramid.client.steps import Standing, Steps
from votepyramid.client.transport import Transport, run

T = TypeVar("T")
_TRY_AGAIN = "Nothing was found to be wrong: run the same command again later."


class CannotCheck(ElectionUnreachable):
    """The server gave no usable answer: nothing is known of the log."""

    advice = _TRY_AGAIN


class LogServer:
    """Each question raises CannotCheck; None is the server's "there is none"."""

    def __init__(self, server: Transport, election: str, policy: RetryPolicy) -> None:
        self._server = server
        self._election = election
        self._policy = policy

    def proof(self, receipt_hash: str) -> bytes | None:
        return self._run(steps.proof(self._election, receipt_hash, self._policy))

    def checkpoint(self) -> str | None:
        return self._run(steps.checkpoint(self._election, self._policy))

    def audit_checkpoint(self) -> str | None:
        return self._run(steps.checkpoint(self._election, self._policy, "audit-log"))

    def consistency(self, old: int, new: int) -> list[bytes] | None:
        return self._run(steps.consistency(self._election, old, new, self._policy))

    def closing(self) -> str | None:
        return self._run(steps.closing(self._election, self._policy))

    def absence(self, tag: bytes) -> bytes | None:
        return self._run(steps.absence(self._election, tag, self._policy))

    def standing(self) -> Standing:
        return self._run(steps.standing(self._election, self._policy))

    def _run(self, conversation: Steps[T]) -> T:
        try:
            return run(conversation, self._server)
        except (ElectionUnreachable, Refused, UnexpectedAnswer) as error:
            raise CannotCheck(error.problem, _TRY_AGAIN) from None
