"""Every refusal the engine can give, in one table.

A domain raises `Refused(Code.X, detail)` or returns the code as an outcome; only
`web/problems.py` turns it into an RFC 9457 document. Inner causes go to the log,
never to the caller. `docs/errors.md` is this table in prose; a test keeps both
in step.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any


class Code(enum.StrEnum):
    """Stable codes: clients switch on them, so they are never renamed."""

    # The request itself.
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate_limited"
    # The election.
    ELECTION_UNKNOWN = "election_unknown"
    ELECTION_NOT_OPEN = "election_not_open"
    ELECTION_CLOSED = "election_closed"
    ELECTION_NOT_FINISHED = "election_not_finished"
    # The claim.
    NOT_ELIGIBLE = "not_eligible"
    TOKEN_ISSUED = "token_issued"
    # The vote.
    TOKEN_UNKNOWN = "token_unknown"
    TOKEN_REVOKED = "token_revoked"
    TOKEN_USED = "token_used"
    VOTER_NOT_ELIGIBLE = "voter_not_eligible"
    MANIFEST_MISMATCH = "manifest_mismatch"
    STYLE_MISMATCH = "style_mismatch"
    SUITE_MISMATCH = "suite_mismatch"
    KEY_MISMATCH = "key_mismatch"
    BALLOT_LENGTH = "ballot_length"
    BALLOT_COPIED = "ballot_copied"
    # The receipt.
    RECEIPT_UNKNOWN = "receipt_unknown"
    NOT_IN_LOG = "not_in_log"
    # What is stated at the end.
    VOTE_RECORDED = "vote_recorded"
    # The engine.
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


@dataclass(frozen=True)
class Problem:
    """How a code looks from outside; `advice` tells the caller what to change."""

    status: int
    title: str
    advice: str


PROBLEMS: dict[Code, Problem] = {
    Code.MALFORMED: Problem(
        400, "The request is malformed", "Correct the fields named in `errors`."
    ),
    Code.TOO_LARGE: Problem(
        413, "The request is too large", "Send no more bytes than `limit` says."
    ),
    Code.UNSUPPORTED_MEDIA_TYPE: Problem(
        415, "The body is not JSON", "Send `Content-Type: application/json`."
    ),
    Code.NOT_FOUND: Problem(404, "No such resource", "Check the address."),
    Code.METHOD_NOT_ALLOWED: Problem(
        405, "Method not allowed", "Use a method listed in `Allow`."
    ),
    Code.UNAUTHENTICATED: Problem(
        401, "Sign in first", "Send a valid, unexpired `Authorization: Bearer` token."
    ),
    Code.FORBIDDEN: Problem(
        403, "Not allowed", "`reason` says what is missing; ask who administers it."
    ),
    Code.RATE_LIMITED: Problem(
        429, "Too many requests", "Wait as long as `Retry-After` says."
    ),
    Code.ELECTION_UNKNOWN: Problem(
        404, "No such election", "Check the election id in the address."
    ),
    Code.ELECTION_NOT_OPEN: Problem(
        403, "The election is not open yet", "Come back when it opens."
    ),
    Code.ELECTION_CLOSED: Problem(
        403, "The election is closed", "No further claim or vote can be taken."
    ),
    Code.ELECTION_NOT_FINISHED: Problem(
        404,
        "The election is not finished yet",
        "Ask again when its closing statement is published.",
    ),
    Code.NOT_ELIGIBLE: Problem(
        403,
        "Not eligible to vote in this election",
        "`reason` names the rule; ask the election office if it is wrong.",
    ),
    Code.TOKEN_ISSUED: Problem(
        409,
        "A token was issued to you",
        "With it, ask for a proof that no vote stands under its tag.",
    ),
    Code.TOKEN_UNKNOWN: Problem(
        403, "The token is unknown", "Claim a token for this election first."
    ),
    Code.TOKEN_REVOKED: Problem(
        403,
        "The token was revoked",
        "Ask the election office; claiming again gives no other token.",
    ),
    Code.TOKEN_USED: Problem(
        409,
        "The token was used for another ballot",
        "The first ballot stands; only its own bytes can be sent again.",
    ),
    Code.VOTER_NOT_ELIGIBLE: Problem(
        403,
        "The holder of this token is no longer eligible",
        "`reason` names the rule; ask the election office if it is wrong.",
    ),
    Code.MANIFEST_MISMATCH: Problem(
        422, "Sealed for another manifest", "Fetch the manifest again and seal anew."
    ),
    Code.STYLE_MISMATCH: Problem(
        422, "Not this token's ballot style", "Seal for the style given at the claim."
    ),
    Code.SUITE_MISMATCH: Problem(
        422, "Not this election's suite", "Seal with the suite in the manifest."
    ),
    Code.KEY_MISMATCH: Problem(
        422, "Not this election's key", "Seal to the public key in the manifest."
    ),
    Code.BALLOT_LENGTH: Problem(
        422,
        "The sealed ballot has the wrong length",
        "Pad the plaintext to the style's fixed length.",
    ),
    Code.BALLOT_COPIED: Problem(
        409,
        "These sealed bytes were already cast under another token",
        "Seal the ballot anew for this token.",
    ),
    Code.RECEIPT_UNKNOWN: Problem(
        404,
        "No vote with this receipt hash",
        "Send the same ballot again: it is recorded at most once.",
    ),
    Code.NOT_IN_LOG: Problem(
        404,
        "Not in the public log yet",
        "Ask again later; the receipt promises that it will be there at the end.",
    ),
    Code.VOTE_RECORDED: Problem(
        404,
        "A vote stands under this tag",
        "Its leaf is in the public log; there is no proof of its absence.",
    ),
    Code.OVERLOADED: Problem(
        503,
        "Busy: the queue is full",
        "Send the same bytes again after `Retry-After`; nothing is doubled.",
    ),
    Code.UNAVAILABLE: Problem(
        503,
        "A part of the engine is away",
        "Send the same bytes again after `Retry-After`; nothing is doubled.",
    ),
    Code.INTERNAL: Problem(
        500, "The engine failed", "Send the same bytes again; nothing is doubled."
    ),
}


@dataclass(eq=False)
class Refused(Exception):
    """A refusal on its way to the edge.

    `extras` are public members of the problem document; `retry_after` is seconds.
    """

    code: Code
    detail: str = ""
    extras: dict[str, Any] = field(default_factory=dict)
    retry_after: float | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else str(self.code)
