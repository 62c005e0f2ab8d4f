"""The last step: after it, nothing here says who cast which ballot.

While an election runs, the holder of the issuance key can compute a voter's ballot
tag, and whoever sees the tables' order and times can guess. `unlink` takes away both:
tokens get random ids, rows are written anew in random order with one time for all,
the issuance key is wiped, archived workflow histories are removed, and the tables' old
files are dropped by Postgres with the same commit. A claim's history holds the voter's
reference beside the pseudonym of the audit log: auditors export and verify before this.
What stays is who was issued a token and whether it was used, and the ballots. Backups,
write-ahead logs and what Temporal itself still holds are not reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text, update

from votepyramid.audit import exports
from votepyramid.audit import service as audit
from votepyramid.elections import finishing, service
from votepyramid.elections.ceremony import CeremonyError, changing
from votepyramid.elections.models import Election
from votepyramid.elections.service import ElectionView

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
    engine: Engine,
    election: str,
    *,
    dispute_days: float = DISPUTE_DAYS,
    without_export: bool = False,
) -> Unlinked:
    """Unlink a finished election, in one transaction.

    One whose manifest names no key for a closing statement need only be closed.

    Other elections' rows in the same tables are copied along, and their voters wait
    while it runs: choose a quiet hour.

    Raises CeremonyError unless the election is finished, its grace time and dispute
    window are over, and no vote of it is under way; and unless a whole export of it was
    made, or it is to be done `without_export`.
    """
    with changing(engine, election) as (connection, view, now):
        _check(connection, view, now, dispute_days)
        exported = exports.whole_one(connection, election)
        if not (exported or without_export):
            _check_no_export_wanted(view)
        connection.execute(
            text(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT}'")
        )
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
        connection.execute(text(f"LOCK TABLE {_TABLES} IN ACCESS EXCLUSIVE MODE"))
        # Again under the lock: a vote may have come in while we waited for it.
        finishing.check_nothing_under_way(connection, election)
        tokens = _renew(connection, "vote_tokens", _TOKENS, view)
        votes = _renew(connection, "vote_submissions", _VOTES, view)
        _renew(connection, "vote_groups", _FORGET, view)
        _renew(connection, "wrapped_keys", _KEYS, view)
        _renew(connection, "archived_histories", _FORGET, view)
        # What was ordered names votes and the runs of their workflows.
        _renew(connection, "orders", _FORGET, view)
        connection.execute(
            update(Election).where(Election.id == election).values(status="unlinked")
        )
        detail = {"tokens": tokens, "votes": votes, "exported": exported}
        event = audit.Event("election_unlinked", detail=detail)
        audit.append(connection, election, [event])
        return Unlinked(service.get(connection, election), tokens, votes)


def _check_no_export_wanted(view: ElectionView) -> None:
    # Without a key for statements none can be made.
    if finishing.states(view):
        raise CeremonyError(
            f"no whole export of election {view.id!r} was made since it was finished, "
            "and unlinking removes its histories: run `votepyramid audit export "
            f"{view.id} DIR` and have it verified, or say --without-export"
        )


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
_FORGET = "DELETE FROM renewed WHERE election = :election"
_KEYS = """
    UPDATE renewed SET wrapped = NULL
    WHERE election = :election AND purpose = 'issuance'
"""
_TABLES = (
    "vote_tokens, vote_submissions, vote_groups, wrapped_keys, archived_histories, "
    "orders"
)


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
    if view.status == "closed" and finishing.states(view):
        raise CeremonyError(
            f"election {view.id!r} has no closing statement: run `votepyramid election "
            f"finish {view.id}` first"
        )
    if view.status not in ("closed", "finished"):
        raise CeremonyError(f"election {view.id!r} is {view.status}: close it first")
    # Disputes need what is stated at the end: the window begins with it.
    over = finishing.finished_at(connection, view.id) or service.grace_ends_at(view)
    allowed = over + timedelta(days=dispute_days)
    if now < allowed:
        raise CeremonyError(
            f"grace time and dispute window of election {view.id!r} last until "
            f"{allowed:%Y-%m-%dT%H:%M:%SZ}: until then a disputed token can still be "
            "looked into; wait, or set a shorter window with --dispute-days"
        )
    finishing.check_nothing_under_way(connection, view.id)
