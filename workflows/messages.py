"""What travels into, between and out of the workflows. Plain dataclasses of text.

Binary values are base64url without padding, hashes of receipts and manifests hex,
times ISO 8601 in UTC. Nothing here names a voter or holds a bearer token: a claim
carries a random roster reference and a keyed pseudonym, a cast the token id d and
the tag t, and the two share no identifier.
"""

# Not postponed (PEP 563): the SDK asks for the fields' types at every message, and
# would evaluate the text of each annotation anew.
from dataclasses import dataclass
from datetime import timedelta

SUBMIT_VOTES = "submit_votes"
SUBMIT_VOTE = "submit_vote"
CLAIM_TOKENS = "claim_tokens"
CLAIM_TOKEN = "claim_token"

CHECK_ELIGIBILITY = "check_eligibility"
ENCRYPT_BALLOTS = "encrypt_ballots"
RECORD_VOTES = "record_votes"
CHECK_CLAIMS = "check_claims"
ISSUE_TOKENS = "issue_tokens"

NEEDS_ATTENTION = "NeedsAttention"
ELECTION_ID = "ElectionId"
# Registered before any worker starts: a workflow that sets an unknown attribute
# fails its task and repeats its activities for ever.
SEARCH_ATTRIBUTES = {NEEDS_ATTENTION: "Bool", ELECTION_ID: "Keyword"}

# Of every workflow: a killed worker's are taken over one timeout later.
TASK_TIMEOUT = timedelta(seconds=5)

# Outcome of a vote or claim whose neighbours were finished without it: it goes on
# in a child workflow of its own.
ISOLATED = "isolated"


def alone(kind: str, key: str) -> str:
    """Id of the workflow in which one vote or claim goes on by itself."""
    return f"{kind}/{key}"


def goes_on_alone(kind: str, group_id: str) -> bool:
    """True for the id of such a workflow, false for a group's."""
    return group_id.startswith(alone(kind, ""))


@dataclass
class CastVote:
    """One sealed ballot under a token id. `arrived_at` is the database's clock."""

    receipt_hash: str
    token_id: str
    tag: str
    ciphertext_hash: str
    payload: str
    style: str
    suite: str
    key_id: str
    manifest_hash: str
    arrived_at: str


@dataclass
class SubmitVotesInput:
    """The votes that were waiting, 1..n."""

    election: str
    group_id: str
    votes: list[CastVote]


@dataclass
class VoteToCheck:
    """What the eligibility step sees of a vote: everything but the ballot."""

    receipt_hash: str
    token_id: str
    payload_bytes: int
    style: str
    suite: str
    key_id: str
    manifest_hash: str
    arrived_at: str


@dataclass
class CheckEligibilityInput:
    election: str
    group_id: str
    votes: list[VoteToCheck]


@dataclass
class Verdict:
    """`code` is null when the vote may go on, ISOLATED when judging it failed."""

    receipt_hash: str
    code: str | None = None
    reason: str | None = None


@dataclass
class VoteToEncrypt:
    receipt_hash: str
    payload: str
    style: str
    suite: str
    key_id: str
    manifest_hash: str


@dataclass
class EncryptBallotsInput:
    election: str
    group_id: str
    votes: list[VoteToEncrypt]


@dataclass
class EncryptedBallot:
    """A row id and the ballot in its envelope, as JSON text; null text: ISOLATED."""

    receipt_hash: str
    row_id: str
    snapshot: str | None


@dataclass
class VoteToRecord:
    """A vote with what the steps before decided; refused votes come along too."""

    receipt_hash: str
    token_id: str
    tag: str
    ciphertext_hash: str
    manifest_hash: str
    code: str | None
    reason: str | None
    row_id: str | None
    snapshot: str | None


@dataclass
class RecordVotesInput:
    election: str
    group_id: str
    votes: list[VoteToRecord]


@dataclass
class VoteOutcome:
    """What became of one vote, and what each step did about it.

    `code` is null for an accepted vote. The step fields are for whoever reads the
    history: eligibility, encryption, storage, token marking, audit.
    """

    receipt_hash: str
    code: str | None = None
    reason: str | None = None
    eligibility: str = ""
    encryption: str = ""
    storage: str = ""
    token: str = ""
    audit: str = ""


@dataclass
class Claim:
    """One claim. `voter` is the random roster reference, null when not on it."""

    key: str
    voter: str | None
    pseudonym: str
    style: str | None
    arrived_at: str


@dataclass
class ClaimTokensInput:
    election: str
    group_id: str
    claims: list[Claim]


@dataclass
class ClaimVerdict:
    """`reason` is null when the voter is eligible for `style`."""

    key: str
    reason: str | None
    style: str | None
    roster_version: int


@dataclass
class IssueTokensInput:
    election: str
    group_id: str
    claims: list[Claim]
    verdicts: list[ClaimVerdict]


@dataclass
class ClaimOutcome:
    """Issued when `code` is null; the web derives the bearer from `counter`."""

    key: str
    code: str | None = None
    reason: str | None = None
    style: str | None = None
    counter: int | None = None
    eligibility: str = ""
    issue: str = ""
    audit: str = ""
