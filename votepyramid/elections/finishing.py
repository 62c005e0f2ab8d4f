"""The end of the close: what was promised is kept, and what came out is signed.

Every receipt promises that its vote is in the final checkpoint. `finish` goes on only
when that is true of every accepted vote, and when nobody waits for an answer any more.
The database alone cannot say so: it may have been set back. Hence an audit event says
what is about to be signed, and only a sequencer that compared both logs with what it
kept outside brings that into the published audit log. It is written when no vote can
come any more, so that a backup which has it is one of the whole log.

`finish` then signs the counts, the final tree of the log and the tree of its tags. From
then on the database lets nothing be issued or recorded in the election (see the
migration), so that the statement stays true.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import Connection, Engine, func, insert, select, text, update

from votepyramid.audit import service as audit
from votepyramid.elections import service
from votepyramid.elections.ceremony import CeremonyError, changing
from votepyramid.elections.counting import count
from votepyramid.elections.models import Election, ElectionStatement
from votepyramid.elections.service import ElectionView
from votepyramid.keys.service import STATEMENTS, ElectionKeys
from votepyramid.logs import store
from votepyramid.logs.models import LogEntry, LogQueue
from votepyramid.logs.store import RECEIPTS, Log
from votepyramid.protocol.checkpoint import open_checkpoint
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.leaf import leaf_hash, parse_leaf
from votepyramid.protocol.manifest import signer
from votepyramid.protocol.merkle import CompactRange
from votepyramid.protocol.notes import SigningKey
from votepyramid.protocol.statements import ClosingStatement, TreeHead, sign_closing
from votepyramid.receipts import tags as trees
from votepyramid.votes.models import VoteSubmission
from workflows import messages as m

CLOSING = "closing"
# A vote that arrived with the last second of the grace time has by then been answered:
# recorded, refused, or with a 202, which is waited for.
LAST_ANSWERS_S = 30
_READ = 10_000
# Counting a large election takes longer than any request may.
_STATEMENT_TIMEOUT = "30min"
_LOCK_TIMEOUT = "10s"
# While its tree is made, the connection is asked for nothing.
_IDLE_TIMEOUT = "10min"


class NotYet(CeremonyError):
    """Waiting mends it: the last answers, votes under way, or the log.

    `phase` is a closing's (see `workflows.messages`), `until` known of the first.
    """

    def __init__(self, phase: str, said: str, until: datetime | None = None) -> None:
        super().__init__(said)
        self.phase = phase
        self.until = until


@dataclass(frozen=True)
class Finished:
    """The signed closing statement; `again` when it was signed before."""

    election: ElectionView
    note: str
    again: bool = False


@dataclass(frozen=True)
class _Log:
    """The log as rebuilt from its entries; `tags` sorted."""

    head: TreeHead
    tags: list[bytes]


def finish(
    engine: Engine,
    keys: ElectionKeys,
    election: str,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Finished:
    """Sign the closing statement of a closed election, or give the one there is.

    `progress` is told entries read and all. Raises Refused(ELECTION_UNKNOWN);
    CeremonyError while anything is missing, naming it, and for an election whose
    manifest names no key for statements; KeyProviderError. The first time nothing is
    missing it raises NotYet: from then on a sequencer's confirmation is.
    """
    with engine.connect() as connection:
        view = service.get(connection, election)
        note = closing(connection, election)
        if note is not None:
            return Finished(view, note, again=True)
        check_ready(connection, view)
        made = _rebuild(connection, view, progress or (lambda _done, _all: None))
    # Before the transaction: a key that is not held takes a connection of its own.
    key = keys.signer(election, STATEMENTS)
    with changing(engine, election, exclusive=_LOCK_TIMEOUT) as (connection, view, _):
        note = closing(connection, election)
        if note is not None:
            return Finished(view, note, again=True)
        done = _finish(connection, view, made, key)
    if done is None:
        raise _unconfirmed(view)
    return done


def closing(connection: Connection, election: str) -> str | None:
    """The signed closing statement, if the election is finished."""
    return connection.scalar(
        select(ElectionStatement.note).where(
            ElectionStatement.election == election, ElectionStatement.kind == CLOSING
        )
    )


def finished_at(connection: Connection, election: str) -> datetime | None:
    """When the closing statement was signed."""
    return connection.scalar(
        select(ElectionStatement.created_at).where(
            ElectionStatement.election == election, ElectionStatement.kind == CLOSING
        )
    )


def states(view: ElectionView) -> bool:
    """Whether the manifest names a key that signs statements."""
    return "statements" in view.manifest.get("signers", {})


def under_way(connection: Connection, election: str) -> int:
    """Votes whose voters were promised an answer, and have none yet."""
    # A function of the database: the closer's role sees no workflow's votes.
    return connection.scalar(select(func.votes_under_way(election))) or 0


def check_nothing_under_way(connection: Connection, election: str) -> None:
    """Raise NotYet while a vote is held by a workflow and undecided."""
    waiting = under_way(connection, election)
    if waiting:
        raise NotYet(
            m.VOTES,
            f"{waiting} votes of election {election!r} are still under way, and their "
            "voters were promised an answer: let them finish, or end their workflows. "
            "“Settle…” on the election's page, or `votepyramid election settle "
            f"{election}`, is for votes that no workflow has",
        )


def check_ready(connection: Connection, view: ElectionView) -> None:
    """Raise NotYet while anything is awaited, CeremonyError for what hinders it."""
    _check_closed(connection, view)
    head = _check_log(connection, view)
    # Where nobody has asked yet, signing does.
    if _confirmed(connection, view, head) is False:
        raise _unconfirmed(view)


def _confirmed(
    connection: Connection, view: ElectionView, head: TreeHead
) -> bool | None:
    """Whether a sequencer confirmed that the log is whole; None before it was asked."""
    # A function of the database: the closer's role sees no events.
    confirmed = func.logs_confirmed(view.id, head.size, head.root.hex())
    said: bool | None = connection.scalar(select(confirmed))
    return said


def _confirmed_or_asked(
    connection: Connection, view: ElectionView, head: TreeHead
) -> bool:
    """Whether a sequencer confirmed that the log is whole. If not, it is asked now."""
    confirmed = _confirmed(connection, view, head)
    if confirmed is None:
        detail = {"votes": head.size, "root": head.root.hex()}
        event = audit.Event("votes_complete", detail=detail)
        audit.append(connection, view.id, [event])
    return bool(confirmed)


def _unconfirmed(view: ElectionView) -> NotYet:
    return NotYet(
        m.LOG,
        f"no sequencer has confirmed yet that the logs of election {view.id!r} have "
        "all that was signed: run `votepyramid log sequence --once`; if it sets one "
        "aside, see the runbook, a database was restored from a backup",
    )


def _finish(
    connection: Connection, view: ElectionView, made: _Log, key: SigningKey
) -> Finished | None:
    """Under the election's lock: everything once more, then the statement.

    None when a sequencer has to confirm the logs before: then it was asked to.
    """
    connection.execute(text(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT}'"))
    connection.execute(
        text(f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_TIMEOUT}'")
    )
    _check_closed(connection, view)
    if _check_log(connection, view) != made.head:
        raise NotYet(m.LOG, f"the log of {view.id!r} grew meanwhile: run it again")
    _check_every_vote(connection, view)
    statement = _state(connection, view, made)
    try:
        note = sign_closing(statement, key)
    except ProtocolError as error:
        raise CeremonyError(
            f"the counts of election {view.id!r} do not agree, {error.problem}: "
            "have its tables looked into before anything else is done"
        ) from None
    if not _confirmed_or_asked(connection, view, made.head):
        return None
    trees.store_tree(connection, view.id, made.tags)
    connection.execute(
        insert(ElectionStatement)
        .inline()
        .values(election=view.id, kind=CLOSING, note=note)
    )
    connection.execute(
        update(Election).where(Election.id == view.id).values(status="finished")
    )
    detail = {"statement": hashlib.sha256(note.encode()).hexdigest()}
    event = audit.Event("election_finished", detail=detail)
    audit.append(connection, view.id, [event])
    return Finished(service.get(connection, view.id), note)


def _check_closed(connection: Connection, view: ElectionView) -> None:
    if view.status != "closed":
        raise CeremonyError(f"election {view.id!r} is {view.status}: close it first")
    if not states(view):
        raise CeremonyError(
            f"election {view.id!r} was signed before closing statements were made: "
            "its manifest names no key for them; it can be unlinked as it is"
        )
    now = connection.execute(select(func.clock_timestamp())).scalar_one()
    ends = service.grace_ends_at(view) + timedelta(seconds=LAST_ANSWERS_S)
    if now < ends:
        raise NotYet(
            m.GRACE,
            f"the last ballots of election {view.id!r} are answered until "
            f"{ends:%Y-%m-%dT%H:%M:%SZ}: wait until then",
            ends,
        )
    check_nothing_under_way(connection, view.id)


def _check_log(connection: Connection, view: ElectionView) -> TreeHead:
    """The published head. Raises CeremonyError unless nothing waits beyond it."""
    log = Log(view.id, RECEIPTS)
    waiting = connection.scalar(
        select(func.count()).select_from(LogQueue).where(*store.of(LogQueue, log))
    )
    if waiting:
        raise NotYet(
            m.LOG,
            f"{waiting} votes of election {view.id!r} wait for the log: run "
            "`votepyramid log sequence --once`",
        )
    head = store.head(connection, log)
    if head is None:
        return TreeHead(0, CompactRange().root())
    if head.checkpoint is None or head.checkpoint_size != head.size:
        raise NotYet(
            m.LOG,
            f"the newest entries of the log of {view.id!r} are in no published "
            "checkpoint: run `votepyramid log sequence --once`",
        )
    key = signer(view.manifest, "receipt_log")
    try:
        said = open_checkpoint(head.checkpoint, key.name, key)
    except ProtocolError as error:
        raise CeremonyError(
            f"the published checkpoint of {view.id!r} does not hold: {error.problem}"
        ) from None
    if (said.size, said.root) != (head.size, head.root):
        raise CeremonyError(
            f"the published checkpoint of {view.id!r} is not of its log as it stands: "
            "see the runbook, a log that cannot be continued"
        )
    return TreeHead(said.size, said.root)


def _rebuild(
    connection: Connection, view: ElectionView, progress: Callable[[int, int], None]
) -> _Log:
    """The log's tree from its entries alone. Raises CeremonyError."""
    log = Log(view.id, RECEIPTS)
    head = _check_log(connection, view)
    tree, tags = CompactRange(), list[bytes]()
    for begin in range(0, head.size, _READ):
        end = min(begin + _READ, head.size)
        entries = store.entries(connection, log, begin, end)
        tree.extend([leaf_hash(entry) for entry in entries])
        tags += [_tag(view, entry) for entry in entries]
        progress(end, head.size)
    if (len(tags), tree.root()) != (head.size, head.root):
        raise CeremonyError(
            f"the entries of the log of {view.id!r} do not make the tree of its "
            "checkpoint: see the runbook, a log that cannot be continued"
        )
    tags.sort()
    if any(tag == after for tag, after in pairwise(tags)):
        raise CeremonyError(f"two votes in the log of {view.id!r} have the same tag")
    return _Log(head, tags)


def _tag(view: ElectionView, entry: bytes) -> bytes:
    try:
        leaf = parse_leaf(entry)
    except ProtocolError as error:
        raise CeremonyError(
            f"an entry of the log of {view.id!r} is no vote: {error.problem}"
        ) from None
    if (leaf.e, leaf.m) != (view.id, view.manifest_hash):
        raise CeremonyError(f"an entry of the log of {view.id!r} is another's vote")
    return leaf.t


def _check_every_vote(connection: Connection, view: ElectionView) -> None:
    """Raise CeremonyError unless every accepted vote's leaf is in the log."""
    logged = select(LogEntry.index).where(
        *store.of(LogEntry, Log(view.id, RECEIPTS)),
        LogEntry.leaf_hash == func.decode(VoteSubmission.receipt_hash, "hex"),
    )
    missing = connection.scalar(
        select(func.count())
        .select_from(VoteSubmission)
        .where(
            VoteSubmission.election == view.id,
            VoteSubmission.status == "accepted",
            ~logged.exists(),
        )
    )
    if missing:
        raise CeremonyError(
            f"{missing} accepted votes of election {view.id!r} are not in its log, and "
            "wait for it no longer: their receipts promise it; see the runbook"
        )


def _state(connection: Connection, view: ElectionView, made: _Log) -> ClosingStatement:
    counted = count(connection, view.id)
    return ClosingStatement(
        origin=view.manifest["receipts"]["origin"],
        m=view.manifest_hash,
        eligible=counted.eligible,
        issued=counted.issued,
        used=counted.used,
        votes=counted.votes,
        log=made.head,
        tags=trees.head(made.tags),
    )
