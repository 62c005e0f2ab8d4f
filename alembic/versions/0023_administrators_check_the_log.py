"""The pages' auditors check a receipt and the logs themselves.

Revision: 0023
Follows: 0022

The log of receipts is public as it is; with its tiles a place in it can be proved.
"""

from __future__ import annotations

from alembic import op

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_LOGS = "kind IN ('audit', 'receipts')"


def upgrade() -> None:
    name = Settings.load().admin_role
    role = role_name(op.get_bind(), name, "VOTEPYRAMID_ADMIN_ROLE")
    op.execute(f"GRANT SELECT (leaf_hash) ON log_entries TO {role}")
    op.execute(f"GRANT SELECT ON log_tiles TO {role}")
    op.execute(f"ALTER POLICY administrators_read ON log_entries USING ({_LOGS})")
    op.execute(
        f"CREATE POLICY administrators_read ON log_tiles FOR SELECT TO {role} "
        f"USING ({_LOGS})"
    )


def downgrade() -> None:
    role = op.get_bind().dialect.identifier_preparer.quote(Settings.load().admin_role)
    op.execute("DROP POLICY administrators_read ON log_tiles")
    op.execute("ALTER POLICY administrators_read ON log_entries USING (kind = 'audit')")
    op.execute(f"REVOKE SELECT ON log_tiles FROM {role}")
    op.execute(f"REVOKE SELECT (leaf_hash) ON log_entries FROM {role}")
