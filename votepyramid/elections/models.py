"""The `elections` table: one signed manifest and where the election stands.

Beside it what is stated at its end: signed, and the tags of its votes.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from votepyramid.db import Base


class Election(Base):
    """An election. `manifest_hash` is m; `closes_at` moves only when closed early.

    `opens_at`/`closes_at`/`grace_seconds` repeat the manifest so that one indexed
    read answers "is it open" on the database's own clock.
    """

    __tablename__ = "elections"
    __table_args__ = (
        CheckConstraint(
            "status IN ('created', 'open', 'closed', 'finished', 'unlinked')",
            name="status",
        ),
        CheckConstraint("octet_length(manifest_hash) = 32", name="manifest_hash"),
        CheckConstraint("opens_at < closes_at", name="period"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    signed_manifest: Mapped[str] = mapped_column(Text)
    manifest_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    authority: Mapped[str] = mapped_column(Text)
    policy_hash: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="created")
    opens_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    closes_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    grace_seconds: Mapped[int] = mapped_column(Integer)
    roster_version: Mapped[int] = mapped_column(Integer, server_default="0")
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    opened_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ElectionClosing(Base):
    """That an election is to be closed: at its announced time, or `early`, at once.

    Written by whoever has the owner's role, and read by the closer's, which does no
    more than stands here. The row goes when the closing is called off.
    """

    __tablename__ = "election_closings"

    election: Mapped[str] = mapped_column(ForeignKey("elections.id"), primary_key=True)
    early: Mapped[bool] = mapped_column(Boolean)
    asked_by: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )


class ElectionStatement(Base):
    """A signed note of the election as a whole; never changed, by a trigger."""

    __tablename__ = "election_statements"

    election: Mapped[str] = mapped_column(ForeignKey("elections.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    note: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )


class ClosingTags(Base):
    """Up to 256 tags of accepted votes, in order: bundle `index` of all, sorted.

    The tiles of their tree stand in `log_tiles`, of the kind `tags`. `first` is the
    first of them, to find the bundle of a tag by.
    """

    __tablename__ = "closing_tags"
    __table_args__ = (Index("ix_closing_tags_first", "election", "first"),)

    election: Mapped[str] = mapped_column(ForeignKey("elections.id"), primary_key=True)
    index: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    first: Mapped[bytes] = mapped_column(LargeBinary)
    tags: Mapped[bytes] = mapped_column(LargeBinary)
