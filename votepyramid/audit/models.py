"""The `audit_events` table: written in the transaction it describes, never changed.

Constraints of the migration hold each row to what an entry of the log can say.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from votepyramid.db import Base


class AuditEvent(Base):
    """What happened. `subject` is a receipt hash or a keyed pseudonym, never d.

    `nonce` is random, so that no two entries of the log are alike.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        # Of what is not a voter's: few among many.
        Index(
            "ix_audit_events_acts",
            "id",
            postgresql_where=text(
                "kind NOT IN ('claim_refused', 'key_made', 'none_issued', "
                "'token_issued', 'token_reused', 'vote_accepted', 'vote_refused')"
            ),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    election: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    nonce: Mapped[uuid.UUID] = mapped_column(server_default=func.gen_random_uuid())


class ArchivedHistory(Base):
    """A closed workflow's history, sealed and without exact times (see archive.py)."""

    __tablename__ = "archived_histories"
    __table_args__ = (Index("ix_archived_histories_election", "election"),)

    run_id: Mapped[str] = mapped_column(Text, primary_key=True)
    workflow_id: Mapped[str] = mapped_column(Text)
    election: Mapped[str] = mapped_column(Text)
    history: Mapped[bytes] = mapped_column(LargeBinary)


class AskedExport(Base):
    """An export that was asked for on the administrators' pages (see asked_exports.py).

    What it came to is there when it is finished, `bytes` being those of its download.
    `removed_by` is who wants it removed, or called off; `gone_at` when its files were.
    """

    __tablename__ = "asked_exports"
    __table_args__ = (
        CheckConstraint(
            "num_nonnulls(finished_at, status, files, bytes, sums, lacking, waiting, "
            "unopened) IN (0, 8)",
            name="finished",
        ),
        CheckConstraint("sums ~ '^[0-9a-f]{64}$'", name="sums"),
        CheckConstraint("gone_at IS NULL OR removed_by IS NOT NULL", name="removed"),
        # One at a time of an election: who asks meanwhile joins it.
        Index(
            "uq_asked_exports_election",
            "election",
            unique=True,
            postgresql_where=text("sums IS NULL AND removed_by IS NULL"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(
        primary_key=True, server_default=func.gen_random_uuid()
    )
    election: Mapped[str] = mapped_column(ForeignKey("elections.id"))
    asked_by: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp(), index=True
    )
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    status: Mapped[str | None] = mapped_column(Text)
    files: Mapped[int | None] = mapped_column(BigInteger)
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    sums: Mapped[str | None] = mapped_column(Text)
    lacking: Mapped[int | None] = mapped_column(BigInteger)
    waiting: Mapped[int | None] = mapped_column(BigInteger)
    unopened: Mapped[int | None] = mapped_column(BigInteger)
    removed_by: Mapped[str | None] = mapped_column(Text)
    gone_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ArchiveRun(Base):
    """A run of the archive; it has its counts once what closed before it is kept.

    Its time is the database's: the application role may not write it.
    """

    __tablename__ = "archive_runs"
    __table_args__ = (
        CheckConstraint("(found IS NULL) = (added IS NULL)", name="finished"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    began_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    found: Mapped[int | None] = mapped_column(BigInteger)
    added: Mapped[int | None] = mapped_column(BigInteger)
