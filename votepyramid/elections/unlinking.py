"""The last step: after it, nothing here says who cast which ballot.

While an election runs, the holder of the issuance key can compute a voter's ballot
tag, and whoever sees the tables' order and times can guess. `unlink` takes away both:
tokens get random ids, rows are written anew in random order with one time for all,
the issuance key is wiped, and the tables' old files are dropped by Postgres with the
same commit. What stays is who was issued a token and whether it was used, and the
ballots. Backups, write-ahead logs and workflow histories from before are not reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, func, select, text, update

from votepyramid.audit import service as audit
from votepyramid.elections import service
from votepyramid.elections.ceremony import CeremonyError, changing
from votepyramid.elections.models import Election
from votepyramid.elections.service import ElectionView
from votepyramid.votes.models import VoteGroup, VoteSubmission

DISPUTE_DAYS = 7
# Copying a large election takes longer than any request may.
_STATEMENT_TIMEOUT = "30min"
_LOCK_TIMEOUT = "10s"


@dataclass(frozen=True)
class Unlinked:
    """How many rows were written anew, of this election."""

    election: ElectionView
    tokens: int
    votes: int


def unlink(
    engine: Engine, election: str, *, dispute_days: float = DISPUTE_DAYS
) -> Unlinked:
    """Unlink a closed election, in one transaction.

    Other elections' rows in the same tables are copied along, and their voters wait
    while it runs: choose a quiet hour.

    Raises CeremonyError unless the election is closed, its grace time and dispute
    window are over, and no vote of it is under way.
    """
    with changing(engine, election) as (connection, view, now):
        _check(connection, view, now, dispute_days)
        connection.execute(
            text(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT}'")
        )
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
        connection.execute(text(f"LOCK TABLE {_TABLES} IN ACCESS EXCLUSIVE MODE"))
        # Again under the lock: a vote may have come in while we waited for it.
        _check_nothing_under_way(connection, election)
        tokens = _renew(connection, "vote_tokens", _TOKENS, view)
        votes = _renew(connection, "vote_submissions", _VOTES, view)
        _renew(connection, "vote_groups", _GROUPS, view)
        _renew(connection, "wrapped_keys", _KEYS, view)
        connection.execute(
            update(Election).where(Election.id == election).values(status="unlinked")
        )
        detail = {"tokens": tokens, "votes": votes}
        event = audit.Event("election_unlinked", detail=detail)
        audit.append(connection, election, [event])
        return Unlinked(service.get(connection, election), tokens, votes)


# What a row keeps. Counters and versions differ between voters and would pair a
# token with its ballot's history; times would do it in a small precinct.
_TOKENS = """
    UPDATE renewed SET
      token = gen_random_uuid(),
      issued_at = :opens_at,
      revoked_at = CASE WHEN revoked_at IS NULL THEN NULL ELSE :opens_at END,
      counter = 0,
      roster_version = 0,
      reuse_count = 0,
      rejected_count = 0
    WHERE election = :election
"""
_VOTES = "UPDATE renewed SET created_at = :opens_at WHERE election = :election"
_GROUPS = "DELETE FROM renewed WHERE election = :election"
_KEYS = """
    UPDATE renewed SET wrapped = NULL
    WHERE election = :election AND purpose = 'issuance'
"""
_TABLES = "vote_tokens, vote_submissions, vote_groups, wrapped_keys"


def _renew(connection: Connection, table: str, change: str, view: ElectionView) -> int:
    """Write a table anew in random order; the number of rows that `change` met.

    Truncating makes Postgres start a new file and drop the old one at commit, so
    that grants, indexes and constraints stay and the old rows' order and row
    versions do not. The random UUIDs that order the rows come from the system's
    random generator.
    """
    values = {"election": view.id, "opens_at": view.opens_at}
    connection.execute(
        text(f"CREATE TEMPORARY TABLE renewed ON COMMIT DROP AS TABLE {table}")
    )
    changed = connection.execute(text(change), values).rowcount
    connection.execute(text(f"TRUNCATE {table}"))
    # They are in the log already.
    connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    connection.execute(
        text(f"INSERT INTO {table} SELECT * FROM renewed ORDER BY gen_random_uuid()")
    )
    connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
    connection.execute(text("DROP TABLE renewed"))
    return changed


def _check(
    connection: Connection, view: ElectionView, now: datetime, dispute_days: float
) -> None:
    if view.status == "unlinked":
        raise CeremonyError(f"election {view.id!r} is unlinked already")
    if view.status != "closed":
        raise CeremonyError(f"election {view.id!r} is {view.status}: close it first")
    allowed = service.grace_ends_at(view) + timedelta(days=dispute_days)
    if now < allowed:
        raise CeremonyError(
            f"grace time and dispute window of election {view.id!r} last until "
            f"{allowed:%Y-%m-%dT%H:%M:%SZ}: until then a disputed token can still be "
            "looked into; wait, or set a shorter window with --dispute-days"
        )
    _check_nothing_under_way(connection, view.id)


def _check_nothing_under_way(connection: Connection, election: str) -> None:
    decided = select(VoteSubmission.id).where(
        VoteSubmission.receipt_hash == VoteGroup.receipt_hash,
        VoteSubmission.status == "accepted",
    )
    waiting = connection.scalar(
        select(func.count())
        .select_from(VoteGroup)
        .where(
            VoteGroup.election == election,
            VoteGroup.outcome.is_(None),
            ~decided.exists(),
        )
    )
    if waiting:
        raise CeremonyError(
            f"{waiting} votes of election {election!r} are still under way, and their "
            "voters were promised an answer: let them finish, or end their workflows "
            f"and run `votepyramid election settle {election}`"
        )
