"""What waits for a log is read in its order, however much it is.

Revision: 0010
Follows: 0009
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_log_queue_order", "log_queue", ["election", "kind", "sort"])
    op.drop_index("ix_log_queue_election", "log_queue")


def downgrade() -> None:
    op.create_index("ix_log_queue_election", "log_queue", ["election", "kind"])
    op.drop_index("ix_log_queue_order", "log_queue")
