"""Wrong passphrases that were given again in a session are counted there.

Revision: 0032
Follows: 0031

Counted with those at the door, a stranger who locks an account would keep its person
from acting in a session that they have.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "people_sessions",
        sa.Column("failed_count", sa.Integer(), server_default="0", nullable=False),
    )
    role = role_name(
        op.get_bind(), Settings.load().admin_role, "VOTEPYRAMID_ADMIN_ROLE"
    )
    op.execute(f"GRANT UPDATE (failed_count) ON people_sessions TO {role}")


def downgrade() -> None:
    op.drop_column("people_sessions", "failed_count")
