"""The `retired_keks` table: key-encryption keys under which nothing may be stored."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, LargeBinary, func
from sqlalchemy.orm import Mapped, mapped_column

from votepyramid.db import Base


class RetiredKek(Base):
    """By name, as a wrapped key carries it. A trigger on `wrapped_keys` reads it.

    `asked_at` is when its place was first asked to destroy it and may have done so.
    """

    __tablename__ = "retired_keks"

    name: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    retired_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    asked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    destroyed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
