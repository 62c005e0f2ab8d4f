"""Names and message types of the textbook workflow, beside the engine's own."""

from __future__ import annotations

from dataclasses import dataclass

from workflows.messages import CastVote, VoteToRecord

WORKFLOW = "textbook_vote"
TASK_QUEUE = "textbook"

CHECK = "textbook_check_eligibility"
ENCRYPT = "textbook_encrypt"
STORE = "textbook_store"
MARK = "textbook_mark_token"
AUDIT = "textbook_audit"


@dataclass
class TextbookVote:
    election: str
    vote: CastVote


@dataclass
class TextbookBallot:
    election: str
    vote: VoteToRecord


@dataclass
class TextbookToken:
    election: str
    token_id: str


@dataclass
class TextbookEvent:
    election: str
    receipt_hash: str
