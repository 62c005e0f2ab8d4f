"""What can go wrong for a voter, each with a sentence on what to do next."""

from __future__ import annotations


class ClientError(Exception):
    """Base of all errors of the voter's client; `advice` says what to do next."""

    advice = ""

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.advice = advice or type(self).advice


class BadAddress(ClientError):
    """The server's address cannot be used."""


class CredentialError(ClientError):
    """The voter's sign-in token cannot be used."""


class ManifestRejected(ClientError):
    """The server's manifest is not the pinned election's: nothing may go on."""

    advice = (
        "Do not vote here: compare the address and the authority's key with the "
        "ones the election office published, and report it to them."
    )


class ElectionUnreachable(ClientError):
    """No usable answer within the time allowed. Sending again is always safe."""

    advice = (
        "Run the same command again: the same sealed bytes are sent, and a ballot "
        "is recorded at most once."
    )


class UnexpectedAnswer(ClientError):
    """Something answered that is not this election's server, such as a portal."""

    advice = "Check the address and the network, then run the same command again."


class Refused(ClientError):
    """A typed refusal: `code` is stable, `reason` names the rule where one is given."""

    def __init__(
        self,
        code: str,
        problem: str,
        advice: str = "",
        *,
        reason: str | None = None,
        status: int = 0,
    ) -> None:
        super().__init__(problem, advice)
        self.code = code
        self.reason = reason
        self.status = status


class ClaimRefused(Refused):
    """The claim was refused."""


class CastRefused(Refused):
    """The sealed ballot was refused; the token can still be used."""


class ReceiptUnknown(Refused):
    """The server holds no vote with this receipt hash."""


class ReceiptInvalid(ClientError):
    """The answer is not the ballot box's promise for this ballot.

    `check` names the failed check, `finding` what it found, `answer` is the evidence.
    """

    advice = (
        "Keep the ballot file: with the answer it is evidence. Send the ballot again, "
        "and report it to the election office if the answer stays wrong."
    )

    def __init__(self, check: str, problem: str, answer: bytes) -> None:
        super().__init__(f"the receipt does not hold ({check}): {problem}")
        self.check = check
        self.finding = problem
        self.answer = answer


class BallotFileError(ClientError):
    """A saved ballot or receipt file cannot be read or written."""


class ChoicesError(ClientError):
    """The choices do not fit the ballot."""
