"""`votepyramid verify`: what a receipt is checked for, said check by check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from votepyramid.client import files
from votepyramid.client.ballots import pin
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


@dataclass(frozen=True)
class Report:
    """The checks that held, in order, and the first that failed with its problem."""

    passed: tuple[tuple[str, str], ...]
    failed: tuple[str, str] | None
    receipt_hash: str

    def to_json(self) -> dict[str, Any]:
        return {
            "status": "valid" if self.failed is None else "invalid",
            "receipt_hash": self.receipt_hash,
            "passed": [name for name, _ in self.passed],
            "failed": self.failed
            and {"check": self.failed[0], "problem": self.failed[1]},
        }

    def lines(self) -> list[str]:
        lines = [f"ok      {name}: {told}" for name, told in self.passed]
        if self.failed is not None:
            lines.append(f"FAILED  {self.failed[0]}: {self.failed[1]}")
            lines.append("The receipt does not hold: show both files to the office.")
        else:
            lines.append(f"The receipt holds: {self.receipt_hash} is recorded.")
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
    return Report(tuple(passed), failed, ballot.receipt_hash)


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
