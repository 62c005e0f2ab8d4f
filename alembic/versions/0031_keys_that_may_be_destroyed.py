"""When the place of a key-encryption key was asked to destroy it.

Revision: 0031
Follows: 0030

A place that does not know a key has destroyed it only if it was asked to: it may be
another account's, and live. Of those that were retired before, each was asked for.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    asked_at = sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True)
    op.add_column("retired_keks", asked_at)
    op.execute("UPDATE retired_keks SET asked_at = retired_at")


def downgrade() -> None:
    op.drop_column("retired_keks", "asked_at")
