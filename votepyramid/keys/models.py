"""The `wrapped_keys` table: every key of an election, wrapped by the KMS."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    DateTime,
    Index,
    LargeBinary,
    Text,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from votepyramid.db import Base


class WrappedKey(Base):
    """A key by purpose. `public` is the ballot box key's verifier text, else null.

    Election is not a foreign key: keys are made when a manifest is prepared, before
    the election exists. An issuance key's bytes are wiped by `election unlink`.
    """

    __tablename__ = "wrapped_keys"
    __table_args__ = (
        CheckConstraint(
            "purpose IN ('issuance', 'data', 'ballot-box', 'receipt-log', 'audit-log', "
            "'statements')",
            name="purpose",
        ),
        # It starts with the name of what wrapped it; one that is wiped is null.
        CheckConstraint("octet_length(wrapped) > 0", name="wrapped"),
        Index(
            "uq_wrapped_keys_single",
            "election",
            "purpose",
            unique=True,
            postgresql_where=text("purpose <> 'data'"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    election: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(Text)
    public: Mapped[str | None] = mapped_column(Text)
    wrapped: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
