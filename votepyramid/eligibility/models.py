"""Who may vote: voters, versioned rosters and refused claims.

A voter's `ref` is random and is all that leaves this room: claim workflows carry
it, cast workflows carry neither it nor the voter's id.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from votepyramid.db import Base


class Voter(Base):
    """A voter of one election. `voter_id` is what the identity provider calls them."""

    __tablename__ = "voters"
    __table_args__ = (UniqueConstraint("election", "voter_id"),)

    ref: Mapped[uuid.UUID] = mapped_column(
        primary_key=True, server_default=text("gen_random_uuid()")
    )
    election: Mapped[str] = mapped_column(ForeignKey("elections.id"))
    voter_id: Mapped[str] = mapped_column(Text)


class RosterVersion(Base):
    """One imported roster file, whole. Rows of older versions are kept for audit."""

    __tablename__ = "roster_versions"

    election: Mapped[str] = mapped_column(ForeignKey("elections.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    file_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    voters: Mapped[int] = mapped_column(Integer)
    imported_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )


class RosterRow(Base):
    """One voter in one roster version, with the attributes the policy may ask for."""

    __tablename__ = "roster_rows"
    __table_args__ = (
        ForeignKeyConstraint(
            ["election", "version"],
            ["roster_versions.election", "roster_versions.version"],
        ),
    )

    election: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    voter: Mapped[uuid.UUID] = mapped_column(ForeignKey("voters.ref"), primary_key=True)
    precinct: Mapped[str] = mapped_column(Text)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")


class ClaimRefusal(Base):
    """A refused claimant by keyed pseudonym: audited the first time, then counted."""

    __tablename__ = "claim_refusals"

    election: Mapped[str] = mapped_column(ForeignKey("elections.id"), primary_key=True)
    pseudonym: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    reason: Mapped[str] = mapped_column(Text, primary_key=True)
    count: Mapped[int] = mapped_column(Integer, server_default="1")
