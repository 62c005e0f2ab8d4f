"""The sequencer reads a vote's tag and ciphertext hash, to hold its receipt to them.

Revision: 0030
Follows: 0029

Both are in the leaf, which is public. Only the row's own are unique by an index: a
receipt that says another tag would bring a second vote under it into the log.
"""

from __future__ import annotations

from alembic import op

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(f"GRANT SELECT (tag, ciphertext_hash) ON vote_submissions TO {_role()}")


def downgrade() -> None:
    op.execute(
        f"REVOKE SELECT (tag, ciphertext_hash) ON vote_submissions FROM {_role()}"
    )


def _role() -> str:
    role = Settings.load().sequencer_role
    return role_name(op.get_bind(), role, "VOTEPYRAMID_SEQUENCER_ROLE")
