"""Votes under way are found without looking at those that are recorded.

Revision: 0024
Follows: 0023

A row of `vote_groups` stays for every recorded vote, and an index over those that some
workflow holds is small whatever an election's size. Rows that name their group alone,
which only code from before 0002 wrote, name it as their holder now. How many are under
way is told by a function: who only counts need not see which workflow has which vote.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_UNDER_WAY = "outcome IS NULL AND held_by <> '{}'"
HOLDERS = """
UPDATE vote_groups AS noted SET held_by = ARRAY[group_id]
WHERE outcome IS NULL AND held_by = '{}'
  AND election IN (
  SELECT id FROM elections WHERE status NOT IN ('finished', 'unlinked')
  )
  AND NOT EXISTS (
  SELECT FROM vote_submissions AS vote
  WHERE vote.receipt_hash = noted.receipt_hash AND vote.status = 'accepted')
"""
VOTES_UNDER_WAY = f"""
CREATE FUNCTION votes_under_way(of_election text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT count(*) FROM vote_groups AS noted
  WHERE election = of_election AND {_UNDER_WAY} AND NOT EXISTS (
    SELECT FROM vote_submissions AS vote
    WHERE vote.receipt_hash = noted.receipt_hash AND vote.status = 'accepted')
$$
"""


def upgrade() -> None:
    # Every recorded vote's row is looked at once.
    op.execute("SET LOCAL statement_timeout = '10min'")
    op.execute(HOLDERS)
    op.create_index(
        "ix_vote_groups_under_way",
        "vote_groups",
        ["election"],
        postgresql_where=text(_UNDER_WAY),
    )
    op.execute(VOTES_UNDER_WAY)
    op.execute("REVOKE ALL ON FUNCTION votes_under_way FROM PUBLIC")
    settings, connection = Settings.load(), op.get_bind()
    for name, variable in (
        (settings.admin_role, "VOTEPYRAMID_ADMIN_ROLE"),
        (settings.closer_role, "VOTEPYRAMID_CLOSER_ROLE"),
    ):
        role = role_name(connection, name, variable)
        op.execute(f"GRANT EXECUTE ON FUNCTION votes_under_way TO {role}")


def downgrade() -> None:
    op.execute("DROP FUNCTION votes_under_way")
    op.drop_index("ix_vote_groups_under_way", "vote_groups")
