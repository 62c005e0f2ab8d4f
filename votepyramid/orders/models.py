"""The `orders` table: what was ordered, who agreed, and how far it is.

That two people stand behind what was agreed to is a constraint of the table.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Integer,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from votepyramid.db import Base

_TIME = DateTime(timezone=True)


class OrderRow(Base):
    """An order. All times are the database's.

    `alone` where nobody else has to agree; `election` is None where it is none's alone.
    `place` is where it goes on: in the list of workflows, or a word of `carrying`;
    `done`, `votes` and `refused` count what was acted on so far; `said` is the last
    sentence that a person should read. `went_on_at` is when the last piece was done.
    What was stopped by nobody lost who stood behind it.
    """

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint("char_length(reason) BETWEEN 1 AND 200", name="reason"),
        CheckConstraint("octet_length(asked::text) <= 8192", name="asked"),
        CheckConstraint(
            "outcome IN ('agreed', 'declined', 'withdrawn')", name="outcome"
        ),
        CheckConstraint(
            "(outcome IS NULL) = (decided_by IS NULL) "
            "AND (outcome IS NULL) = (decided_at IS NULL)",
            name="decided",
        ),
        CheckConstraint(
            "CASE outcome WHEN 'withdrawn' THEN decided_by = given_by "
            "ELSE decided_by <> given_by END",
            name="two_people",
        ),
        CheckConstraint("alone OR election IS NOT NULL", name="of_an_election"),
        CheckConstraint(
            "over_at IS NULL OR alone OR outcome IS NOT DISTINCT FROM 'agreed'",
            name="carried_out",
        ),
        CheckConstraint("stopped_by IS NULL OR stopped_at IS NOT NULL", name="stopped"),
        CheckConstraint(
            "stopped_at IS NULL OR alone OR outcome IS NOT DISTINCT FROM 'agreed'",
            name="begun",
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(
        primary_key=True, server_default=text("gen_random_uuid()")
    )
    election: Mapped[str | None] = mapped_column(ForeignKey("elections.id"))
    asked: Mapped[dict[str, Any]] = mapped_column(JSONB)
    alone: Mapped[bool] = mapped_column(Boolean)
    reason: Mapped[str] = mapped_column(Text)
    given_by: Mapped[str] = mapped_column(ForeignKey("people.name"))
    given_at: Mapped[datetime] = mapped_column(
        _TIME, server_default=func.clock_timestamp(), index=True
    )
    decided_by: Mapped[str | None] = mapped_column(ForeignKey("people.name"))
    decided_at: Mapped[datetime | None] = mapped_column(_TIME)
    outcome: Mapped[str | None] = mapped_column(Text)
    place: Mapped[str | None] = mapped_column(Text)
    done: Mapped[int] = mapped_column(Integer, server_default="0")
    votes: Mapped[int] = mapped_column(Integer, server_default="0")
    refused: Mapped[int] = mapped_column(Integer, server_default="0")
    said: Mapped[str | None] = mapped_column(Text)
    went_on_at: Mapped[datetime | None] = mapped_column(_TIME)
    stopped_at: Mapped[datetime | None] = mapped_column(_TIME)
    stopped_by: Mapped[str | None] = mapped_column(ForeignKey("people.name"))
    over_at: Mapped[datetime | None] = mapped_column(_TIME)
