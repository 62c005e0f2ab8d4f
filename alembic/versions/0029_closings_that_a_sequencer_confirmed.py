"""Who closes an election learns whether a sequencer has confirmed its logs.

Revision: 0029
Follows: 0028

That every vote is in the log is an audit event, and in the published audit log it is
there by a sequencer that compared both logs with what it had kept of them. A function
says so: who closes need not read the events, which name voters by pseudonym.
"""

from __future__ import annotations

from alembic import op

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

# NULL: it was not asked. Nothing waits behind the event, so what is public has it.
LOGS_CONFIRMED = """
CREATE FUNCTION logs_confirmed(of_election text, votes bigint, root text)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT bool_or(
    EXISTS (
      SELECT FROM log_heads AS head
      WHERE head.election = of_election AND head.kind = 'audit'
        AND head.checkpoint_size = head.size)
    AND NOT EXISTS (
      SELECT FROM log_queue AS waiting
      WHERE waiting.election = of_election AND waiting.kind = 'audit'
        AND waiting.subject = event.id::text))
  FROM audit_events AS event
  WHERE event.election = of_election AND event.kind = 'votes_complete'
    AND event.detail @> jsonb_build_object('votes', votes, 'root', root)
$$
"""


def upgrade() -> None:
    op.execute(LOGS_CONFIRMED)
    op.execute("REVOKE ALL ON FUNCTION logs_confirmed FROM PUBLIC")
    closer = role_name(
        op.get_bind(), Settings.load().closer_role, "VOTEPYRAMID_CLOSER_ROLE"
    )
    op.execute(f"GRANT EXECUTE ON FUNCTION logs_confirmed TO {closer}")


def downgrade() -> None:
    op.execute("DROP FUNCTION logs_confirmed")
