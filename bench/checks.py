"""After the last round: was every vote recorded, once, and nothing else?"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

_COUNTS = {
    "votes": "SELECT count(*) FROM vote_submissions WHERE status = 'accepted'",
    "rejected": "SELECT count(*) FROM vote_submissions WHERE status = 'rejected'",
    "distinct receipts": (
        "SELECT count(DISTINCT receipt) FROM vote_submissions WHERE status = 'accepted'"
    ),
    "distinct tags": (
        "SELECT count(DISTINCT (election, tag)) FROM vote_submissions "
        "WHERE status = 'accepted'"
    ),
    "used tokens": "SELECT count(*) FROM vote_tokens WHERE used",
    "audit events": "SELECT count(*) FROM audit_events WHERE kind = 'vote_accepted'",
    "audited votes": (
        "SELECT count(DISTINCT a.subject) FROM audit_events a "
        "JOIN vote_submissions v ON v.receipt_hash = a.subject "
        "WHERE a.kind = 'vote_accepted' AND v.status = 'accepted'"
    ),
}


class NotExact(Exception):
    """Votes, receipts, audit events and used tokens are not the same number."""


@dataclass(frozen=True)
class Counts:
    """`receipts` were verified by the load generators; the rest is Postgres's."""

    receipts: int
    stored: dict[str, int]


def exactly_once(owner_url: str, receipts: int) -> Counts:
    """Raises NotExact unless every number is `receipts` and nothing was rejected."""
    with psycopg.connect(owner_url) as db:
        stored = {}
        for name, query in _COUNTS.items():
            row = db.execute(query.encode()).fetchone()
            assert row is not None
            stored[name] = int(row[0])
    expected = dict.fromkeys(_COUNTS, receipts) | {"rejected": 0}
    if stored != expected:
        raise NotExact(f"{receipts} verified receipts, but stored: {stored}")
    return Counts(receipts, stored)
