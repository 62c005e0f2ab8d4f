"""The `elections` table: one signed manifest and where the election stands."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, Integer, LargeBinary, Text, func
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
            "status IN ('created', 'open', 'closed', 'unlinked')", name="status"
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
