"""The audit log as administrators and auditors read it on their pages.

Revision: 0016
Follows: 0015

Acts are few among voters' events: an index of their own finds them. Voters' events are
read out of the log, where their order says nothing that the log does not say.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# As of this revision. A kind that comes later is in the index as well, and found.
_VOTERS = (
    "'claim_refused', 'key_made', 'none_issued', 'token_issued', 'token_reused', "
    "'vote_accepted', 'vote_refused'"
)


def upgrade() -> None:
    op.create_index(
        "ix_audit_events_acts",
        "audit_events",
        ["id"],
        postgresql_where=text(f"kind NOT IN ({_VOTERS})"),
    )
    role = role_name(
        op.get_bind(), Settings.load().admin_role, "VOTEPYRAMID_ADMIN_ROLE"
    )
    op.execute(f"GRANT SELECT (election, kind, index, entry) ON log_entries TO {role}")
    op.execute(
        f"CREATE POLICY administrators_read ON log_entries FOR SELECT TO {role} "
        "USING (kind = 'audit')"
    )


def downgrade() -> None:
    role = op.get_bind().dialect.identifier_preparer.quote(Settings.load().admin_role)
    op.execute("DROP POLICY administrators_read ON log_entries")
    op.execute(f"REVOKE ALL ON log_entries FROM {role}")
    op.drop_index("ix_audit_events_acts", "audit_events")
