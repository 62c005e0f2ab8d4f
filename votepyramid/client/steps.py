"""The conversations of a voter with the engine, free of input and output.

Each is a generator: it yields a Request and is sent an Answer or a Fault, or yields
a Pause and is sent None; its return value is the result. A retry always sends the
request object of the first try, so the bytes cannot differ.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, TypeVar

from votepyramid.client import messages
from votepyramid.client.ballots import (
    PinnedElection,
    Receipt,
    SealedBallot,
    Token,
    pin,
)
from votepyramid.client.errors import (
    CastRefused,
    ClaimRefused,
    ElectionUnreachable,
    ManifestRejected,
    ReceiptUnknown,
    Refused,
    UnexpectedAnswer,
)
from votepyramid.client.messages import Answer, Fault, Pause, Request
from votepyramid.client.policy import RETRIED, RetryPolicy, retry_after
from votepyramid.protocol import manifest as manifests
from votepyramid.protocol.absence import MAX_ABSENCE_BYTES
from votepyramid.protocol.encoding import (
    ProtocolError,
    canonical_hex32,
    canonical_uuid,
    check_id,
    unb64,
)
from votepyramid.protocol.merkle import HASH_BYTES, MAX_PROOF_HASHES
from votepyramid.protocol.statements import MAX_STATEMENT_BYTES
from votepyramid.protocol.tlogproof import MAX_PROOF_BYTES

T = TypeVar("T")
Steps = Generator[Request | Pause, Any, T]


@dataclass(frozen=True)
class Standing:
    """An election's status (as `elections.service.describe`), and when claims end."""

    status: str
    closes: datetime


class _Patience:
    """One conversation's attempts and deadline."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._until = policy.clock() + policy.deadline
        self._failures = 0

    def pause(self, reason: str, least: float | None = None) -> Pause:
        """The next wait. Raises ElectionUnreachable when it would be too late."""
        self._failures += 1
        seconds = self._policy.wait(self._failures, least)
        if self._policy.clock() + seconds > self._until:
            raise ElectionUnreachable(
                f"no usable answer within {self._policy.deadline:g} s "
                f"(last: {reason}{_asked(least)})"
            )
        return Pause(seconds, reason)


def fetch_manifest(
    election: str,
    policy: RetryPolicy,
    *,
    authority_vkey: str | None,
    pinned_hash: str | None,
) -> Steps[PinnedElection]:
    """Fetch the signed manifest and check it against the pins."""
    request = messages.get(_path(election, "manifest/"), messages.MAX_MANIFEST)
    answer = yield from _exchange(request, _Patience(policy))
    if answer.status != 200:
        _refuse(answer, Refused, "the manifest")
    try:
        signed = manifests.load_signed(answer.body)
    except ProtocolError as error:
        raise ManifestRejected(
            f"the server's manifest is malformed: {error.problem}"
        ) from None
    return pin(signed, election, authority_vkey=authority_vkey, pinned_hash=pinned_hash)


def claim(
    election: PinnedElection, jwt: str, style: str | None, policy: RetryPolicy
) -> Steps[Token]:
    """Claim the voter's token; claiming again gives the same one."""
    request = messages.post_json(
        _path(election.id, "tokens/claim/"),
        {} if style is None else {"style": style},
        messages.bearer_header(jwt),
    )
    answer = yield from _exchange(request, _Patience(policy))
    if answer.status != 200:
        _refuse(answer, ClaimRefused, "the claim")
    value = messages.json_object(answer, "the claim")
    try:
        bearer: uuid.UUID = canonical_uuid(value.get("token"))
        m, given = canonical_hex32(value.get("manifest_hash")), value.get("style")
        manifests.style(election.manifest, check_id(given))
    except ProtocolError as error:
        raise UnexpectedAnswer(
            f"the claim's answer is wrong: {error.problem}"
        ) from None
    if m != election.m:
        raise ManifestRejected("the token belongs to another manifest")
    if style is not None and given != style:
        raise UnexpectedAnswer("the token is for another ballot style than asked for")
    return Token(bearer, str(given), m)


def cast(
    election: PinnedElection, ballot: SealedBallot, policy: RetryPolicy
) -> Steps[Receipt]:
    """Send the ballot until there is a receipt for it, a refusal or no time left."""
    patience = _Patience(policy)
    request = messages.post_json(_path(election.id, "vote/"), ballot.body())
    while True:
        answer = yield from _exchange(request, patience)
        if answer.status == 202:
            decided = yield from _wait_for_decision(ballot, answer, patience)
            if decided is None:
                # Nothing is known of it (any more): the same bytes go again.
                yield patience.pause("the vote was not recorded yet")
                continue
            answer = decided
        if answer.status != 200:
            _refuse(answer, CastRefused, "the vote")
        return election.verify(ballot, answer.body)


def receipt(election: str, receipt_hash: str, policy: RetryPolicy) -> Steps[bytes]:
    """The answer stored for a receipt hash, unverified. Raises ReceiptUnknown."""
    patience = _Patience(policy)
    request = _receipt_request(election, receipt_hash)
    while True:
        answer = yield from _exchange(request, patience)
        if answer.status == 202:
            yield patience.pause("the vote is being recorded", _least(answer))
            continue
        if answer.status != 200:
            _refuse(answer, ReceiptUnknown, "the receipt")
        _refuse_rejected(answer)
        return bytes(answer.body)


def proof(election: str, receipt_hash: str, policy: RetryPolicy) -> Steps[bytes | None]:
    """The `.tlog-proof` of a receipt, unverified; None while there is none."""
    canonical_hex32(receipt_hash)
    path = _path(election, f"receipt/{receipt_hash}/proof")
    request = messages.get(path, MAX_PROOF_BYTES)
    answer = yield from _part_of_log(request, "not_in_log", policy)
    return None if answer is None else bytes(answer.body)


def checkpoint(
    election: str, policy: RetryPolicy, log: str = "log"
) -> Steps[str | None]:
    """The newest checkpoint, unverified; None while there is none.

    `log` is the public log of receipts, or `audit-log`.
    """
    request = messages.get(_path(election, f"{log}/checkpoint"), MAX_PROOF_BYTES)
    answer = yield from _part_of_log(request, "not_found", policy)
    return None if answer is None else answer.body.decode(errors="replace")


def consistency(
    election: str, old: int, new: int, policy: RetryPolicy
) -> Steps[list[bytes] | None]:
    """The consistency proof between two sizes, unverified; None if there is none."""
    request = messages.get(_path(election, f"log/consistency/{old}/{new}"))
    answer = yield from _part_of_log(request, "not_found", policy)
    if answer is None:
        return None
    try:
        lines = answer.body.decode("ascii").splitlines()
        return [unb64(line, HASH_BYTES) for line in lines[: MAX_PROOF_HASHES + 1]]
    except (ProtocolError, UnicodeDecodeError):
        # Whatever it is, it proves nothing.
        return None


def closing(election: str, policy: RetryPolicy) -> Steps[str | None]:
    """The closing statement, unverified; None before the election is finished."""
    path = _path(election, "statement/closing")
    request = messages.get(path, MAX_STATEMENT_BYTES)
    answer = yield from _part_of_log(request, "election_not_finished", policy)
    return None if answer is None else answer.body.decode(errors="replace")


def absence(election: str, tag: bytes, policy: RetryPolicy) -> Steps[bytes | None]:
    """The proof that no vote stands under a tag, unverified; None if one does."""
    request = messages.get(_path(election, f"absence/{tag.hex()}"), MAX_ABSENCE_BYTES)
    answer = yield from _part_of_log(request, "vote_recorded", policy)
    return None if answer is None else bytes(answer.body)


def standing(election: str, policy: RetryPolicy) -> Steps[Standing]:
    """How the server says that the election stands: nothing of it is signed."""
    request = messages.get(_path(election, ""))
    answer = yield from _exchange(request, _Patience(policy))
    if answer.status != 200:
        _refuse(answer, Refused, "the election")
    value = messages.json_object(answer, "the election")
    closes = manifests.parse_time(value.get("closes"))
    if closes is None or not isinstance(value.get("status"), str):
        raise UnexpectedAnswer("the election's answer lacks its status or its end")
    return Standing(value["status"], closes)


def _part_of_log(
    request: Request, missing: str, policy: RetryPolicy
) -> Steps[Answer | None]:
    answer = yield from _exchange(request, _Patience(policy))
    if answer.status == 404 and messages.problem(answer).get("code") == missing:
        return None
    if answer.status != 200:
        _refuse(answer, Refused, "the public log")
    return answer


def _wait_for_decision(
    ballot: SealedBallot, answer: Answer, patience: _Patience
) -> Steps[Answer | None]:
    """Ask for the receipt until it is there; None when the hash is unknown.

    The address is our own, from the hash that we computed: wherever `status_url`
    points, no answer can send the voter to another place.
    """
    request = _receipt_request(ballot.election, ballot.receipt_hash)
    while answer.status == 202:
        yield patience.pause("the vote is being recorded", _least(answer))
        answer = yield from _exchange(request, patience)
    if answer.status == 404 and messages.problem(answer).get("code") == (
        "receipt_unknown"
    ):
        return None
    if answer.status == 200:
        _refuse_rejected(answer)
    return answer


def _exchange(request: Request, patience: _Patience) -> Steps[Answer]:
    """Send until an answer comes that sending again would not change."""
    while True:
        answer: Answer | Fault = yield request
        if isinstance(answer, Fault):
            yield patience.pause(answer.problem)
        elif answer.status in RETRIED:
            yield patience.pause(_describe(answer), _least(answer))
        else:
            return answer


def _asked(least: float | None) -> str:
    return "" if least is None else f"; asked to wait {least:g} s"


def _least(answer: Answer) -> float | None:
    return retry_after(answer.headers)


def _describe(answer: Answer) -> str:
    title = messages.problem(answer).get("title")
    return f"{answer.status} {title}" if title else f"status {answer.status}"


def _refuse_rejected(answer: Answer) -> None:
    """Raise CastRefused when the answer says that the vote was rejected."""
    value = messages.json_object(answer, "the vote")
    if value.get("status") == "rejected":
        code = str(value.get("code"))
        raise CastRefused(
            code, f"the vote was refused: {code}", "Seal the ballot anew and cast it."
        )


def _refuse(answer: Answer, kind: type[Refused], what: str) -> NoReturn:
    document = messages.problem(answer)
    code = document.get("code")
    if not isinstance(code, str):
        raise UnexpectedAnswer(
            f"{what}: the server answered with status {answer.status}"
        )
    reason = document.get("reason")
    told = [document.get("title"), document.get("detail")]
    text = ": ".join(part for part in told if isinstance(part, str) and part)
    raise kind(
        code,
        f"{what} was refused ({code}"
        + (f", {reason}" if isinstance(reason, str) else "")
        + f"): {text or 'no detail given'}",
        reason=reason if isinstance(reason, str) else None,
        status=answer.status,
    )


def _receipt_request(election: str, receipt_hash: str) -> Request:
    canonical_hex32(receipt_hash)
    return messages.get(_path(election, f"receipt/{receipt_hash}/"))


def _path(election: str, rest: str) -> str:
    return f"/api/elections/{check_id(election)}/{rest}"
