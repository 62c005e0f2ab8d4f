"""What travels into, between and out of the workflows. Plain dataclasses of text.

Binary values are base64url without padding, hashes of receipts and manifests hex,
times ISO 8601 in UTC. Nothing here names a voter or holds a bearer token: a claim
carries a random roster reference and a keyed pseudonym, a cast the token id d and
the tag t, and the two share no identifier.
"""

# Not postponed (PEP 563): the SDK asks for the fields' types at every message, and
# would evaluate the text of each annotation anew.
from dataclasses import dataclass, field
from datetime import timedelta

SUBMIT_VOTES = "submit_votes"
SUBMIT_VOTE = "submit_vote"
CLAIM_TOKENS = "claim_tokens"
CLAIM_TOKEN = "claim_token"
REWRAP_KEYS = "rewrap_keys"
CLOSE_ELECTION = "close_election"
EXPORT_ELECTION = "export_election"
REMOVE_EXPORT = "remove_export"

ARCHIVE_HISTORIES = "archive_histories"

CHECK_ELIGIBILITY = "check_eligibility"
ENCRYPT_BALLOTS = "encrypt_ballots"
RECORD_VOTES = "record_votes"
CHECK_CLAIMS = "check_claims"
ISSUE_TOKENS = "issue_tokens"
REWRAP_BATCH = "rewrap_batch"
ARCHIVE_CLOSED = "archive_closed"
CLOSE_WHEN_DUE = "close_when_due"
LOOK_AT_CLOSING = "look_at_closing"
SIGN_CLOSING = "sign_closing"
WRITE_EXPORT = "write_export"
REMOVE_FILES = "remove_files"

# Of every workflow: a killed worker's are taken over one timeout later.
TASK_TIMEOUT = timedelta(seconds=5)
# Of every step: several statements of up to their own timeout each. An attempt that is
# given up on may still commit, and the next one finds what it did.
ATTEMPT_TIMEOUT = timedelta(seconds=15)

# The query that says how far a rewrapping is, and its failure for good: the worker
# wraps under another key than the one that was asked for.
PROGRESS = "progress"
OTHER_KEK = "other_kek"

# Of a closing: the query that says where it stands, and the signal that something of
# it was changed in the database: asked for early, called off, a vote settled. Of an
# export: that one was asked for.
CLOSING_STATE = "closing_state"
LOOK_AGAIN = "look_again"

# Its phases: nobody asks for it; it waits for the announced time, for the last ballots
# and their answers, for votes under way, for the log; it signs; it is done.
NOT_ASKED = "not_asked"
ANNOUNCED = "announced"
GRACE = "grace"
VOTES = "votes"
LOG = "log"
SIGNING = "signing"
FINISHED = "finished"

# Outcome of a vote or claim whose neighbours were finished without it: it goes on
# in a child workflow of its own.
ISOLATED = "isolated"


def alone(kind: str, key: str) -> str:
    """Id of the workflow in which one vote or claim goes on by itself."""
    return f"{kind}/{key}"


def closing(election: str) -> str:
    """Id of the workflow that closes an election."""
    return f"close/{election}"


def exporting(election: str) -> str:
    """Id of the workflow that exports an election."""
    return f"export/{election}"


def removing(export: str) -> str:
    """Id of the workflow that removes an export's files."""
    return f"remove-export/{export}"


def rewrapping(queue: str) -> str:
    """Id of the workflow that rewraps the keys of all elections."""
    return f"rewrap/{queue}"


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


@dataclass
class RewrapProgress:
    """How many keys were wrapped anew, and how many are yet to be tried.

    `failed` counts those that do not open, `examples` are ids of the first of them.
    """

    target: str
    rewrapped: int = 0
    failed: int = 0
    left: int | None = None
    examples: list[str] = field(default_factory=list)


@dataclass
class RewrapKeysInput:
    """`target` names the key-encryption key under which all are to be.

    A run takes `batches` of `size` keys and goes on as a new one, `after` the last.
    """

    target: str
    everything: bool = False
    size: int = 32
    batches: int = 200
    after: str | None = None
    so_far: RewrapProgress | None = None


@dataclass
class RewrapBatchInput:
    target: str
    everything: bool
    size: int
    after: str | None


@dataclass
class RewrapBatch:
    """Counts, and ids; never a key, wrapped or not."""

    rewrapped: int
    failed: list[str]
    after: str | None
    left: int


@dataclass
class Archived:
    """What one run of the archive came upon: closed workflows, and which were new."""

    found: int
    added: int


@dataclass
class ClosingState:
    """Where a closing stands: its phase, until when, and a sentence for people.

    `until` is known of the phases that the clock ends.
    """

    phase: str
    until: str | None = None
    waiting_for: str = ""
    needs_attention: bool = False


@dataclass
class CloseElectionInput:
    """What is to be done stands in the database: a closing does what it was asked.

    It needs attention when it waits for votes or the log for over `patience` seconds.
    A run looks `looks` times and goes on as a new one, which `so_far` tells where it
    stood, `waited` for how long in seconds; `since` is of runs begun before there was
    that.
    """

    election: str
    patience: float = 300.0
    looks: int = 300
    so_far: ClosingState | None = None
    since: float | None = None
    waited: float = 0.0


@dataclass
class ClosingSeen:
    """What a step of a closing found. `done`: the next step's turn.

    The clock ends the phase in `seconds`; where they are null it is to be looked at
    again. `trouble` is what no waiting mends.
    """

    phase: str
    waiting_for: str = ""
    until: str | None = None
    seconds: float | None = None
    trouble: bool = False
    done: bool = False


@dataclass
class ExportElectionInput:
    """Which export of it is to be made stands in the database.

    It needs attention after `tries` attempts that failed: about a minute.
    """

    election: str
    tries: int = 10


@dataclass
class ExportProgress:
    """What is being written, how much of it is done, and of how much (0: unknown).

    Nothing has changed of it for `quiet` seconds.
    """

    what: str
    done: int = 0
    total: int = 0
    quiet: float = 0.0
