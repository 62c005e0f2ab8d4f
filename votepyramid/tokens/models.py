"""The `vote_tokens` table: one live token per voter and election. Who never had one."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import (
    Boolean,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from votepyramid.db import Base


class VoteToken(Base):
    """A token by its id d; the bearer b that opens it is never stored.

    `user` is the voter's random ref. `policy_hash` and `roster_version` say on
    what the decision to issue rested; a cast rechecks them.
    """

    __tablename__ = "vote_tokens"
    __table_args__ = (
        Index(
            "uq_vote_tokens_live",
            "election",
            "user",
            unique=True,
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )

    token: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user: Mapped[uuid.UUID] = mapped_column(ForeignKey("voters.ref"))
    election: Mapped[str] = mapped_column(ForeignKey("elections.id"))
    issued_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    used: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    style: Mapped[str] = mapped_column(Text)
    counter: Mapped[int] = mapped_column(Integer, server_default="0")
    policy_hash: Mapped[str] = mapped_column(Text)
    roster_version: Mapped[int] = mapped_column(Integer)
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    reuse_count: Mapped[int] = mapped_column(Integer, server_default="0")
    rejected_count: Mapped[int] = mapped_column(Integer, server_default="0")


class NoneIssued(Base):
    """Who was told, by keyed pseudonym, that no token was issued: audited once."""

    __tablename__ = "none_issued"

    election: Mapped[str] = mapped_column(ForeignKey("elections.id"), primary_key=True)
    pseudonym: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
