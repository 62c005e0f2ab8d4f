"""Every kind of audit event: nothing else can be appended.

The table in docs/operations.md is made from this one.
"""

from __future__ import annotations

from votepyramid.audit.kind import Cause, Kind
from votepyramid.audit.kinds_of_people import OF_PEOPLE

PSEUDONYM = "keyed pseudonym of the voter"
RECEIPT = "receipt hash"
KEY = "key id"
WORKFLOW = "workflow id, of a lone claim `claim`"
_WHY = ("reason", "second")
_WORK = ("run", *_WHY, "votes")
_ORDER = ("order", "about", "reason")

_KINDS = (
    Kind(
        "election_prepared",
        Cause.OPERATOR,
        "`election prepare` made the election's keys",
    ),
    Kind(
        "election_created",
        Cause.OPERATOR,
        "the signed manifest was taken in",
        detail=("manifest_hash", "policy_hash"),
    ),
    Kind(
        "roster_imported",
        Cause.OPERATOR,
        "a roster became the current one, so many voters being in this or an earlier "
        "one (`eligible`)",
        detail=("version", "voters", "eligible", "file_sha256"),
    ),
    Kind("election_opened", Cause.OPERATOR, "`election open`"),
    Kind(
        "closing_asked",
        Cause.OPERATOR,
        "`election close`: it is to be closed at its announced time, or `early`, at "
        "once; why, and the second administrator or `none`",
        detail=("early", *_WHY),
    ),
    Kind(
        "closing_called_off",
        Cause.OPERATOR,
        "`election close --cancel`, before it was closed",
    ),
    Kind(
        "election_closed",
        Cause.OPERATOR,
        "the election was closed, as was asked; or `election close --by-hand`",
    ),
    Kind(
        "votes_settled",
        Cause.OPERATOR,
        "`election settle` noted votes as never sent; why, and the second "
        "administrator or `none`",
        detail=("ended", *_WHY),
    ),
    Kind(
        "votes_complete",
        Cause.OPERATOR,
        "every vote is in the log of receipts, which has so many (`votes`) and this "
        "root, as hex. A sequencer that compared both logs with what it kept is the "
        "only one to put this into the published audit log: then the closing statement "
        "is signed",
        detail=("votes", "root"),
    ),
    Kind(
        "election_finished",
        Cause.OPERATOR,
        "the closing statement was signed, as was asked, or by `election finish`: "
        "SHA-256 of its note, as hex",
        detail=("statement",),
    ),
    Kind(
        "export_asked",
        Cause.OPERATOR,
        "an export was asked for on the administrators' pages; a worker makes it",
    ),
    Kind(
        "audit_exported",
        Cause.OPERATOR,
        "an export was finished, by `audit export` or as was asked: SHA-256 of its "
        "`SHA256SUMS`, as hex; where the election stood; of how many votes and tokens "
        "it lacks the history, how many entries of the logs waited that have to be in "
        "it, and how many stored ballots do not open",
        detail=("status", "sums", "lacking", "waiting", "unopened"),
    ),
    Kind(
        "export_downloaded",
        Cause.OPERATOR,
        "somebody began to download an export from the administrators' pages: SHA-256 "
        "of its `SHA256SUMS`, as hex",
        detail=("sums",),
    ),
    Kind(
        "export_removed",
        Cause.OPERATOR,
        "an administrator had an export removed: from then on nobody downloads it, and "
        "a worker deletes its files. SHA-256 of its `SHA256SUMS`, or `none` where it "
        "was not finished",
        detail=("sums",),
    ),
    Kind(
        "checkpoint_adopted",
        Cause.OPERATOR,
        "`log adopt`: a log (`receipts` or `audit`) goes on from a checkpoint of so "
        "many entries that came from outside. Written just before",
        detail=("log", "size"),
    ),
    Kind(
        "election_unlinked",
        Cause.OPERATOR,
        "`election unlink`, which also wipes the issuance key; whether a whole export "
        "was made before",
        detail=("tokens", "votes", "exported"),
    ),
    Kind(
        "key_made",
        Cause.VOTER,
        "a key of the election was stored, by an operator or, for votes, by a worker",
        KEY,
        ("purpose",),
    ),
    Kind(
        "kek_announced",
        Cause.OPERATOR,
        "`keys rotate` is about to make a key-encryption key of this name, in a key "
        "file the current one. With nothing after it the place refused, or it did not "
        "answer, and such a key may be there",
        detail=("kek",),
    ),
    Kind(
        "kek_made",
        Cause.OPERATOR,
        "`keys rotate` made this key-encryption key, as settings name it, in an HSM or "
        "a KMS, and was asked for it under this name; it wraps once settings say so",
        detail=("kek", "name"),
    ),
    Kind(
        "kek_rotated",
        Cause.OPERATOR,
        "`keys rotate` made this key-encryption key the current one of the key file",
        detail=("kek",),
    ),
    Kind(
        "keys_rewrapped",
        Cause.ENGINE,
        "`keys rewrap`: so many keys of the election came under this key-encryption "
        "key; one event a batch",
        detail=("kek", "keys"),
    ),
    Kind(
        "kek_retired",
        Cause.OPERATOR,
        "`keys destroy`: from here on the database takes nothing wrapped under it",
        detail=("kek",),
    ),
    Kind(
        "kek_destroyed",
        Cause.OPERATOR,
        "`keys destroy`: the place that kept it has destroyed it, or will",
        detail=("kek",),
    ),
    Kind(
        "work_retried",
        Cause.OPERATOR,
        "`work retry`: the workflow's step is tried at once. This and the next five "
        "are written just before; the run as exports name it, the second administrator "
        "or `none`, and how many votes no other workflow and no table had",
        WORKFLOW,
        _WORK,
    ),
    Kind(
        "work_paused",
        Cause.OPERATOR,
        "`work pause`: the step is not tried any more",
        WORKFLOW,
        _WORK,
    ),
    Kind(
        "work_resumed",
        Cause.OPERATOR,
        "`work resume`: the step is tried again",
        WORKFLOW,
        _WORK,
    ),
    Kind(
        "work_canceled",
        Cause.OPERATOR,
        "`work cancel`: the workflow is asked to end",
        WORKFLOW,
        _WORK,
    ),
    Kind(
        "work_terminated",
        Cause.OPERATOR,
        "`work terminate`: the workflow is ended",
        WORKFLOW,
        _WORK,
    ),
    Kind(
        "work_reset",
        Cause.OPERATOR,
        "`work reset`: the steps are done again from this one (`before`)",
        WORKFLOW,
        (*_WORK, "before"),
    ),
    Kind(
        "work_unanswered",
        Cause.OPERATOR,
        "Temporal refused the act that was asked for, or did not say that it was done",
        WORKFLOW,
        ("act", "run"),
    ),
    Kind(
        "order_given",
        Cause.OPERATOR,
        "an administrator ordered what changes a vote's fate (`order`, of what "
        "`about`): it waits for a second administrator",
        detail=_ORDER,
    ),
    Kind(
        "order_agreed",
        Cause.OPERATOR,
        "a second administrator agreed to an order; what it does has events of its own",
        detail=_ORDER,
    ),
    Kind(
        "order_declined",
        Cause.OPERATOR,
        "a second administrator said no to an order",
        detail=_ORDER,
    ),
    Kind(
        "order_withdrawn",
        Cause.OPERATOR,
        "who gave an order took it back",
        detail=_ORDER,
    ),
    Kind(
        "order_stopped",
        Cause.OPERATOR,
        "an administrator stopped an order that was going on, or it ended as who stood "
        "behind it was no administrator any more; how many were `done`, with `votes`",
        detail=(*_ORDER, "done", "votes"),
    ),
    *OF_PEOPLE,
    Kind("token_issued", Cause.VOTER, "a voter got a token", PSEUDONYM),
    Kind(
        "claim_refused",
        Cause.VOTER,
        "a claim was refused, the first time for this reason; then counted in "
        "`claim_refusals`",
        PSEUDONYM,
        ("reason",),
    ),
    Kind(
        "none_issued",
        Cause.VOTER,
        "a voter was told, signed, that no token was issued to them; once a voter",
        PSEUDONYM,
    ),
    Kind("vote_accepted", Cause.VOTER, "a ballot was recorded", RECEIPT),
    Kind(
        "vote_refused",
        Cause.VOTER,
        "a ballot under a known token was refused; so many a token as the manifest "
        "says",
        RECEIPT,
        ("code",),
    ),
    Kind(
        "token_reused",
        Cause.VOTER,
        "another ballot came under a used token, the first time; then counted in "
        "`vote_tokens`",
        "receipt hash of the vote that stands",
    ),
    Kind(
        "junk_refused",
        Cause.ENGINE,
        "votes named no known token; one event a minute and process",
        detail=("code", "count"),
    ),
    Kind(
        "untimely_refused",
        Cause.ENGINE,
        "votes under a known token came before or after the time for casting; one "
        "event a minute, code and process",
        detail=("code", "count"),
    ),
    Kind(
        "untimely_claims_refused",
        Cause.ENGINE,
        "claims came before or after the time for them; one event a minute, code and "
        "process",
        detail=("code", "count"),
    ),
)
KINDS = {kind.name: kind for kind in _KINDS}
# What tells of exports. No export waits for these: a later one has them.
OF_EXPORTS = frozenset(
    {"audit_exported", "export_asked", "export_downloaded", "export_removed"}
)
# What comes after an election's end too: an export may find such events waiting for
# their log.
AFTER_END = frozenset(
    {
        *OF_EXPORTS,
        "none_issued",
        "junk_refused",
        "untimely_refused",
        "untimely_claims_refused",
    }
)
