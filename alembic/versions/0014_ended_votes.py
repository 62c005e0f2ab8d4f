"""How the administrators' role says that a workflow it ended has let its votes go.

Revision: 0014
Follows: 0013

By a function, and not by a right to the table: all that it can write of a vote is
that one workflow holds it no longer, and of one that none holds, that it is as if
never sent.
"""

from __future__ import annotations

from alembic import op

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Nothing that was decided before is changed, and nothing for other holders. Where a row
# names no holder, its group is the one.
VOTES_ENDED = """
CREATE FUNCTION votes_ended(by_workflow text, hashes text[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  UPDATE vote_groups SET
    held_by = array_remove(held_by, by_workflow),
    outcome = CASE cardinality(array_remove(held_by, by_workflow))
      WHEN 0 THEN 'ended' END
  WHERE receipt_hash = ANY (hashes) AND outcome IS NULL
    AND (by_workflow = ANY (held_by) OR group_id = by_workflow)
$$
"""


def upgrade() -> None:
    name = Settings.load().admin_role
    role = role_name(op.get_bind(), name, "VOTEPYRAMID_ADMIN_ROLE")
    op.execute(VOTES_ENDED)
    op.execute("REVOKE ALL ON FUNCTION votes_ended FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION votes_ended TO {role}")


def downgrade() -> None:
    op.execute("DROP FUNCTION votes_ended")
