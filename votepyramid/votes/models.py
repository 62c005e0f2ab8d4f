"""The `vote_submissions` and `vote_groups` tables.

Exactly-once rests here: an accepted vote is unique by its tag t, by its ciphertext
hash c and by its receipt hash, whatever the processes around it do.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    and_,
    func,
    literal_column,
    or_,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.elements import ColumnElement

from votepyramid.db import Base

_ACCEPTED = text("status = 'accepted'")
_REJECTED = text("status = 'rejected'")
# Some workflow holds the vote. Whoever records it takes all holders away.
UNDER_WAY = text("outcome IS NULL AND held_by <> '{}'")


class VoteSubmission(Base):
    """A ballot that was decided. Holds the tag t, never the token or the voter.

    `receipt` is the whole answer to the voter, byte for byte, so that the same
    bytes can be given for ever. A rejected row keeps its `code` and no ballot.
    """

    __tablename__ = "vote_submissions"
    __table_args__ = (
        CheckConstraint("status IN ('accepted', 'rejected')", name="status"),
        CheckConstraint(
            "(status = 'accepted') = (receipt IS NOT NULL AND ballot_snapshot "
            "IS NOT NULL AND code IS NULL)",
            name="decided",
        ),
        Index(
            "uq_vote_submissions_tag",
            "election",
            "tag",
            unique=True,
            postgresql_where=_ACCEPTED,
        ),
        Index(
            "uq_vote_submissions_ciphertext",
            "election",
            "ciphertext_hash",
            unique=True,
            postgresql_where=_ACCEPTED,
        ),
        Index(
            "uq_vote_submissions_receipt",
            "receipt_hash",
            unique=True,
            postgresql_where=_ACCEPTED,
        ),
        Index(
            "uq_vote_submissions_rejected",
            "receipt_hash",
            unique=True,
            postgresql_where=_REJECTED,
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    election: Mapped[str] = mapped_column(ForeignKey("elections.id"))
    tag: Mapped[bytes] = mapped_column(LargeBinary)
    ciphertext_hash: Mapped[bytes] = mapped_column(LargeBinary)
    ballot_snapshot: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True)
    )
    receipt_hash: Mapped[str] = mapped_column(String(128))
    status: Mapped[str] = mapped_column(String(16))
    code: Mapped[str | None] = mapped_column(Text)
    receipt: Mapped[str | None] = mapped_column(Text)
    receipt_key_id: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )


def decided(receipt_hashes: Sequence[str]) -> ColumnElement[bool]:
    """The rows of these receipt hashes, whichever way they were decided.

    Both ways have an index of their own. Where the status is not named, Postgres uses
    neither and reads every ballot.
    """
    ours = VoteSubmission.receipt_hash.in_(receipt_hashes)
    # Literally, as the indexes have it: of parameters the planner cannot always tell.
    return or_(
        and_(ours, VoteSubmission.status == literal_column("'accepted'")),
        and_(ours, VoteSubmission.status == literal_column("'rejected'")),
    )


class VoteGroup(Base):
    """Which workflows hold a vote: for the 202 status and for the administrator.

    Apart from the ballot rows, so that handing over ballots hands over no path to
    a history. `group_id` is the workflow that recorded the vote, or the group it
    came in with last; `held_by` those that have it under way. `outcome` is null
    until the last of these has ended without recording it.
    """

    __tablename__ = "vote_groups"
    __table_args__ = (
        Index("ix_vote_groups_under_way", "election", postgresql_where=UNDER_WAY),
    )

    receipt_hash: Mapped[str] = mapped_column(String(128), primary_key=True)
    election: Mapped[str] = mapped_column(ForeignKey("elections.id"))
    group_id: Mapped[str] = mapped_column(Text)
    held_by: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    outcome: Mapped[str | None] = mapped_column(Text)
