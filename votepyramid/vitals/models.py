"""The `vitals` table: what each process says of itself every few seconds."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, DateTime, Index, Integer, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from votepyramid.db import Base

# A report is a few hundred bytes for each election that takes votes.
MAX_BYTES = 64 * 1024


class Vitals(Base):
    """One report. `numbers` are as in `tally.Numbers`, counted since `started_at`.

    No evidence of anything: an unlogged table, emptied by a crash of the database, and
    of the last two hours only.
    """

    __tablename__ = "vitals"
    __table_args__ = (
        CheckConstraint(
            f"octet_length(numbers::text) <= {MAX_BYTES}", name="numbers_size"
        ),
        Index("ix_vitals_at", "at"),
        {"prefixes": ["UNLOGGED"]},
    )

    process: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True),
        primary_key=True,
        server_default=func.clock_timestamp(),
    )
    kind: Mapped[str] = mapped_column(Text)
    host: Mapped[str] = mapped_column(Text)
    pid: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    numbers: Mapped[dict[str, Any]] = mapped_column(JSONB)
