"""One witness, asked to cosign a log's checkpoints (C2SP tlog-witness)."""

from __future__ import annotations

import enum
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from votepyramid.client.errors import UnexpectedAnswer
from votepyramid.client.messages import Answer, Fault, Request
from votepyramid.client.transport import Transport
from votepyramid.logs.store import Log
from votepyramid.protocol.cosignature import add_cosignatures
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.policy import Witness
from votepyramid.protocol.witness import AddCheckpoint, parse_size

MAX_ANSWER_BYTES = 16 * 1024

Prove = Callable[[Log, int, int], list[bytes]]
"""The consistency proof of a log from one size to a larger one."""


class Trouble(enum.StrEnum):
    """Why a witness gave no cosignature."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    MALFORMED = "malformed"
    SIGNATURE_REFUSED = "signature_refused"
    LOG_UNKNOWN = "log_unknown"
    CONFLICT = "conflict"
    # These two say that the log was forked or set back, or that the witness lies.
    INCONSISTENT = "inconsistent"
    AHEAD = "ahead"
    BAD_ANSWER = "bad_answer"
    NO_PROOF = "no_proof"
    # Something that nobody thought of, on our side of the line.
    FAULT = "fault"


FORKS = frozenset({Trouble.INCONSISTENT, Trouble.AHEAD})
_BY_STATUS = {
    400: Trouble.MALFORMED,
    403: Trouble.SIGNATURE_REFUSED,
    404: Trouble.LOG_UNKNOWN,
    422: Trouble.INCONSISTENT,
    429: Trouble.UNAVAILABLE,
}


class WitnessFailed(Exception):
    """A witness gave no cosignature: `trouble` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.value)
        self.trouble = trouble


class WitnessClient:
    """Asks one witness, and remembers what it has of each log.

    What it has lives in memory: after a restart the first answer is 409 with the
    size. One log is asked about by one thread at a time.
    """

    def __init__(self, witness: Witness, prove: Prove, timeout: float) -> None:
        self._key = witness.key
        self._prove = prove
        self._transport = Transport((witness.url or "").rstrip("/"), timeout)
        self._sizes: dict[Log, int] = {}

    def cosign(self, log: Log, size: int, note: str) -> str:
        """This witness's signature line for a checkpoint. Raises WitnessFailed."""
        old = self._sizes.get(log, 0)
        for _ in range(2):
            answer = self._ask(log, old if old <= size else 0, size, note)
            if answer.status == 409:
                old = self._sizes[log] = _had(answer, old, size)
                continue
            if answer.status != 200:
                raise WitnessFailed(_BY_STATUS.get(answer.status, Trouble.UNAVAILABLE))
            line = self._line(note, answer)
            self._sizes[log] = size
            return line
        raise WitnessFailed(Trouble.CONFLICT)

    def _ask(self, log: Log, old: int, size: int, note: str) -> Answer:
        try:
            proof = self._prove(log, old, size)
            body = AddCheckpoint(old, tuple(proof), note).body()
        except (ProtocolError, SQLAlchemyError):
            raise WitnessFailed(Trouble.NO_PROOF) from None
        headers = {"content-type": "text/plain; charset=utf-8"}
        request = Request("POST", "/add-checkpoint", body, headers, MAX_ANSWER_BYTES)
        try:
            answer = self._transport.send(request)
        except UnexpectedAnswer:
            raise WitnessFailed(Trouble.BAD_ANSWER) from None
        if isinstance(answer, Fault):
            raise WitnessFailed(Trouble.UNREACHABLE)
        return answer

    def _line(self, note: str, answer: Answer) -> str:
        try:
            whole = add_cosignatures(note, answer.body.decode(), self._key)
        except (ProtocolError, UnicodeDecodeError):
            raise WitnessFailed(Trouble.BAD_ANSWER) from None
        # One of its lines: many would leave no room for the other witnesses'.
        return whole[len(note) :].split("\n")[0] + "\n"


def _had(answer: Answer, old: int, size: int) -> int:
    """The size that the witness has, from its 409. Raises WitnessFailed."""
    try:
        had = parse_size(answer.body)
    except ProtocolError:
        raise WitnessFailed(Trouble.BAD_ANSWER) from None
    if had > size:
        raise WitnessFailed(Trouble.AHEAD)
    if had == old == size:
        # At one size it has another root.
        raise WitnessFailed(Trouble.INCONSISTENT)
    return had
