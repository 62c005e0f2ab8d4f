"""What `votepyramid verify --online` keeps beside a receipt, and finds."""

from __future__ import annotations

from pathlib import Path

from votepyramid.client.errors import BallotFileError

PROOF = ".tlog-proof"
SEEN = ".checkpoint"
CONFLICT = ".conflict"
AUDIT_SEEN = ".audit-checkpoint"
AUDIT_CONFLICT = ".audit-conflict"
CLOSING = ".closing"
CLOSING_CONFLICT = ".closing-conflict"
ABSENCE = ".absence"


class Broken(Exception):
    """A failed check: its name as in `checks.STATUS`, and what was found."""

    def __init__(self, check: str, problem: str) -> None:
        super().__init__(problem)
        self.check = check
        self.problem = problem


def beside(receipt: Path, end: str) -> Path:
    """Where a file of the receipt's is kept."""
    return receipt.with_name(receipt.name + end)


def read(path: Path, limit: int) -> bytes | None:
    """The file's content, None where there is none. Raises BallotFileError."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BallotFileError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > limit:
        raise BallotFileError(f"{path} is over {limit} bytes")
    return data
