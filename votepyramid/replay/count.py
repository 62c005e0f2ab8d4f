"""After the election: open every stored ballot and compare everything that counts.

Only here, with the trustees' key, is a ballot read; the engine cannot.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, func, select

from votepyramid.audit.models import AuditEvent
from votepyramid.elections.counting import count
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol.ballot import open_ballot
from votepyramid.protocol.encoding import ProtocolError
from votepyramid.protocol.identifiers import manifest_hash
from votepyramid.replay.ballots import Ballots, Cast
from votepyramid.votes.envelope import EnvelopeBroken, open_row
from votepyramid.votes.models import VoteSubmission

_BATCH = 500


@dataclass
class Opened:
    """What the stored ballots hold, and the digests of their stored receipts."""

    counts: Counter[Cast] = field(default_factory=Counter)
    receipts: set[bytes] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Totals:
    """Rows of one election, counted in the database in one snapshot."""

    tokens_issued: int
    tokens_used: int
    votes_accepted: int
    votes_rejected: int
    audit_issued: int
    audit_accepted: int


def open_all(
    engine: Engine,
    keys: ElectionKeys,
    manifest: dict[str, Any],
    private: bytes,
    ballots: Ballots,
    on_opened: Callable[[], None],
) -> Opened:
    """Open every accepted ballot of the election with the trustees' key.

    A ballot that does not open is a problem in the result, not an error: the rest
    is counted all the same.
    """
    opened, m = Opened(), manifest_hash(manifest)
    for row in _rows(engine, manifest["id"]):
        opened.hashes.add(row.receipt_hash)
        opened.receipts.add(hashlib.sha256(row.receipt.encode()).digest())
        style = row.ballot_snapshot["style"]
        try:
            payload = open_row(
                keys, manifest["id"], row.id, row.receipt_hash, row.ballot_snapshot
            )
            selections = open_ballot(private, manifest, style, row.tag, payload, m=m)
        except (EnvelopeBroken, ProtocolError) as error:
            opened.problems.append(f"vote {row.receipt_hash} does not open: {error}")
        else:
            opened.counts[ballots.cast(style, selections)] += 1
        on_opened()
    return opened


def _rows(engine: Engine, election: str) -> Iterator[Any]:
    query = select(
        VoteSubmission.id,
        VoteSubmission.tag,
        VoteSubmission.receipt_hash,
        VoteSubmission.receipt,
        VoteSubmission.ballot_snapshot,
    ).where(VoteSubmission.election == election, VoteSubmission.status == "accepted")
    with engine.connect() as connection:
        streaming = connection.execution_options(yield_per=_BATCH)
        yield from streaming.execute(query)


def totals(engine: Engine, election: str) -> Totals:
    """Count the election's rows."""
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
    with snapshot.connect() as connection:

        def rows(table: Any, *conditions: Any) -> int:
            query = select(func.count()).select_from(table)
            of = query.where(table.election == election, *conditions)
            return connection.scalar(of) or 0

        counted = count(connection, election)
        return Totals(
            tokens_issued=counted.tokens,
            tokens_used=counted.used,
            votes_accepted=counted.votes,
            votes_rejected=rows(VoteSubmission, VoteSubmission.status == "rejected"),
            audit_issued=rows(AuditEvent, AuditEvent.kind == "token_issued"),
            audit_accepted=rows(AuditEvent, AuditEvent.kind == "vote_accepted"),
        )


def audited(engine: Engine, election: str) -> set[str]:
    """The receipt hashes that the audit log names as accepted."""
    query = select(AuditEvent.subject).where(
        AuditEvent.election == election, AuditEvent.kind == "vote_accepted"
    )
    with engine.connect() as connection:
        return {str(subject) for subject in connection.scalars(query)}


def differences(
    expected: Counter[Cast],
    opened: Opened,
    totals: Totals,
    verified: set[bytes],
    audit: set[str],
) -> list[str]:
    """Everything that is not as it must be, each named; empty when all is well."""
    voters = expected.total()
    found = list(opened.problems)
    for name in sorted(expected.keys() | opened.counts.keys()):
        if expected[name] != opened.counts[name]:
            found.append(
                f"{name[0]}: {', '.join(name[1])}: {expected[name]} in the file, "
                f"{opened.counts[name]} in the ballot box"
            )
    for told, number in (
        ("tokens issued", totals.tokens_issued),
        ("tokens used", totals.tokens_used),
        ("votes accepted", totals.votes_accepted),
        ("audited issues", totals.audit_issued),
        ("audited votes", totals.audit_accepted),
        ("verified receipts", len(verified)),
    ):
        if number != voters:
            found.append(f"{told}: {number} for {voters} voters")
    if totals.votes_rejected:
        found.append(f"votes rejected: {totals.votes_rejected}")
    if missing := len(verified ^ opened.receipts):
        found.append(f"{missing} receipts differ between voters and ballot box")
    if missing := len(audit ^ opened.hashes):
        found.append(f"{missing} votes differ between audit log and ballot box")
    return found
