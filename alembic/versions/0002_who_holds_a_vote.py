"""Every workflow that holds a vote, not the last one alone.

Revision: 0002
Follows: 0001

A vote sent twice can be held by two groups. Code that does not know the column
leaves it empty, and its votes are held by `group_id`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from votepyramid.settings import Settings

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "vote_groups",
        sa.Column(
            "held_by",
            postgresql.ARRAY(sa.Text()),
            server_default="{}",
            nullable=False,
        ),
    )
    quote = op.get_bind().dialect.identifier_preparer.quote
    role = quote(Settings.load().app_role)
    op.execute(f"GRANT UPDATE (held_by) ON vote_groups TO {role}")


def downgrade() -> None:
    op.drop_column("vote_groups", "held_by")
