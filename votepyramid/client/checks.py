"""`votepyramid verify`: what a receipt is checked for, said check by check."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from votepyramid.client import files
from votepyramid.client.ballots import PinnedElection, pin
from votepyramid.client.errors import BallotFileError, ManifestRejected, ReceiptInvalid

# In the order in which they are made; the names are those of protocol.verify.
_RECEIPT_CHECKS = {
    "answer": "the answer is well formed and its hashes agree",
    "manifest": "the manifest can be used",
    "payload": "your sealed ballot has its style's length",
    "election": "the receipt is for this election",
    "manifest_hash": "the receipt is for this manifest",
    "token": "the receipt is for your token",
    "ciphertext": "the receipt is for your sealed ballot",
    "signature": "the ballot box signed it",
    "text": "what it signed is the promise to record your ballot",
}
# What the command ends with when a check of the log does not hold; 1 for the receipt's.
STATUS = {
    "included": 3,
    "promise": 3,
    "growth": 4,
    "audit_growth": 4,
    "rollback": 5,
    "audit_rollback": 5,
    "log_signature": 6,
    "audit_signature": 6,
    "closing": 6,
    "witnesses": 7,
    "not_yet": 9,
    "late": 10,
}
CANNOT_CHECK = 8
# Not found to be wrong: the receipt holds, and the log does not have the ballot so far.
_WAITING = ("not_yet", "late")
_NOT_HELD = "The receipt does not hold: show both files to the office."
_KEEP = "Keep the receipt and the files beside it, and show them to others."
_ADVICE = {
    "included": f"This does not show your ballot in the public log. {_KEEP} "
    "`--online` asks for the newest proof.",
    "promise": "The promise of your receipt is broken, as far as this server shows. "
    "Keep the receipt and the files beside it unchanged, and take them to the election "
    "office and to an auditor (`audit verify --receipt`). With a proof of absence "
    "among them (`.absence`) what is signed proves it to anybody; without, the whole "
    "public log does.",
    "not_yet": "Nothing is wrong so far: the receipt promises that your ballot is in "
    "the final log, and that one is still to come.",
    "late": "This is a delay and no broken promise, which is for the final log. Keep "
    "the receipt, tell the election office now, and ask again when the election is "
    "finished.",
    "growth": f"The log was forked: the checkpoints contradict each other. {_KEEP}",
    "rollback": f"The log was set back: it is shorter than it was. {_KEEP}",
    "log_signature": "What the server gave is not signed by the log of your election.",
    "audit_growth": f"The audit log was forked: the checkpoints contradict each other. "
    f"{_KEEP}",
    "audit_rollback": "The audit log was set back, or this is an old answer: ask again "
    "in a minute. If it stays, keep the larger checkpoint and give it to an auditor "
    "(`audit verify --checkpoint`): the log they were given must contain it.",
    "audit_signature": "What the server gave is not signed by the audit log.",
    "closing": "What the server gave is no closing statement of your election.",
    "witnesses": "Too few of the witnesses that you trust have cosigned. Ask again "
    "later, or ask them what they saw.",
    "proof": "The server, or the file, did not give a proof as it should be.",
    "log_key": "This election was made without a public log.",
    "seen": "Take that file away if it is not one of yours, and check again.",
}


@dataclass(frozen=True)
class Report:
    """The checks that held, in order, and the first that failed with its problem."""

    passed: tuple[tuple[str, str], ...]
    failed: tuple[str, str] | None
    receipt_hash: str
    election: PinnedElection | None = field(default=None, repr=False)
    server: str = ""
    # Whether the public log was looked at, too, and has it.
    in_log: bool = False

    @property
    def status(self) -> int:
        """What the command ends with."""
        return 0 if self.failed is None else STATUS.get(self.failed[0], 1)

    def to_json(self) -> dict[str, Any]:
        return {
            "status": self._word,
            "receipt_hash": self.receipt_hash,
            "in_log": self.in_log,
            "passed": [name for name, _ in self.passed],
            "failed": self.failed
            and {"check": self.failed[0], "problem": self.failed[1]},
        }

    @property
    def _word(self) -> str:
        if self.failed is None:
            return "valid"
        return self.failed[0] if self.failed[0] in _WAITING else "invalid"

    def lines(self) -> list[str]:
        lines = [f"ok      {name}: {told}" for name, told in self.passed]
        if self.failed is not None:
            label = "FAILED" if self._word == "invalid" else "WAIT"
            lines.append(f"{label:<7} {self.failed[0]}: {self.failed[1]}")
            lines.append(_ADVICE.get(self.failed[0], _NOT_HELD))
        else:
            where = "in the public log" if self.in_log else "recorded"
            lines.append(f"The receipt holds: {self.receipt_hash} is {where}.")
            lines.append(
                "It shows that your sealed ballot was recorded, not what is in it."
            )
        return lines


def check_receipt(
    path: Path,
    signed: dict[str, Any] | None,
    *,
    authority_vkey: str | None,
    pinned_hash: str | None,
) -> Report:
    """Check a receipt file without any server.

    `signed` is the signed manifest as published. Without it, or without a pin, the
    check rests on what the voter's client saved and had checked when it voted.
    """
    try:
        saved = files.load(path)
    except BallotFileError as error:
        return Report((), ("file", error.problem), "")
    ballot = saved.ballot
    if signed is None:
        signed = saved.signed_manifest
    passed = [("file", "the file is whole and its receipt hash is your ballot's")]
    failed: tuple[str, str] | None = None
    election: PinnedElection | None = None
    try:
        election = pin(
            signed,
            ballot.election,
            authority_vkey=authority_vkey,
            pinned_hash=pinned_hash or ballot.m.hex(),
        )
        passed.append(("authority", _trust(authority_vkey, pinned_hash)))
        if saved.answer is None:
            raise ReceiptInvalid("answer", "there is none in the file: cast again", b"")
        election.verify(ballot, saved.answer)
    except ManifestRejected as error:
        failed = ("authority", error.problem)
    except ReceiptInvalid as error:
        failed = (error.check, error.finding)
    if failed is None or failed[0] in _RECEIPT_CHECKS:
        passed += _receipt_checks_before(failed)
    return Report(tuple(passed), failed, ballot.receipt_hash, election, saved.server)


def _receipt_checks_before(failed: tuple[str, str] | None) -> list[tuple[str, str]]:
    """The checks of a receipt that came before the failed one; all without one."""
    names = list(_RECEIPT_CHECKS)
    end = len(names) if failed is None else names.index(failed[0])
    return [(name, _RECEIPT_CHECKS[name]) for name in names[:end]]


def _trust(authority_vkey: str | None, pinned_hash: str | None) -> str:
    if authority_vkey is not None:
        return "the manifest is signed by the authority's key that you gave"
    if pinned_hash is not None:
        return "the manifest has the hash that you gave"
    return "the manifest is the one you voted under (give --authority to check it anew)"
