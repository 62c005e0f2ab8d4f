"""The tables of the logs: append-only Merkle trees of entries, one log a kind.

`log_queue` holds what is to be appended, put there by the database itself in the
transaction that makes it (see the migration); the sequencer moves it into the others
and alone may write them. A tile's row holds as many hashes as there are: a partial
tile is the beginning of the full one (C2SP tlog-tiles).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from votepyramid.db import Base


class LogQueue(Base):
    """What waits to be appended, in the order of `sort` within a batch.

    `subject` says what: for the log of receipts the receipt hash of a vote, for the
    audit log an event's id.
    """

    __tablename__ = "log_queue"
    __table_args__ = (Index("ix_log_queue_order", "election", "kind", "sort"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    election: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    sort: Mapped[bytes] = mapped_column(LargeBinary)
    subject: Mapped[str] = mapped_column(Text)
    queued_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )


class LogHead(Base):
    """Where a log stands: `size` and `root` as appended, and what is public of it.

    `checkpoint` is the newest signed note that was also kept outside the database.
    """

    __tablename__ = "log_heads"

    election: Mapped[str] = mapped_column(ForeignKey("elections.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    root: Mapped[bytes] = mapped_column(LargeBinary)
    checkpoint: Mapped[str | None] = mapped_column(Text)
    checkpoint_size: Mapped[int] = mapped_column(BigInteger, server_default="0")


class LogEntry(Base):
    """An entry at its index, found by its leaf hash."""

    __tablename__ = "log_entries"
    __table_args__ = (
        Index("uq_log_entries_leaf_hash", "election", "kind", "leaf_hash", unique=True),
    )

    election: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    index: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    leaf_hash: Mapped[bytes] = mapped_column(LargeBinary)
    entry: Mapped[bytes] = mapped_column(LargeBinary)


class LogTile(Base):
    """Up to 256 hashes of level 8 * `level`, 32 bytes each."""

    __tablename__ = "log_tiles"

    election: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    level: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    index: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    hashes: Mapped[bytes] = mapped_column(LargeBinary)
