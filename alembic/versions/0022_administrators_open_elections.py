"""The administrators' role takes elections in and opens them, and no more than that.

Revision: 0022
Follows: 0021

It inserts what a signed manifest says; where an election stands is the database's to
say, and moves from created to open alone. Closing is asked for in `election_closings`.
"""

from __future__ import annotations

from alembic import op

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_GRANT = """
GRANT INSERT (id, title, signed_manifest, manifest_hash, authority, policy_hash,
  opens_at, closes_at, grace_seconds), UPDATE (status, opened_at)
ON elections TO {administrators}
"""
# When it was opened is the database's to say.
ONLY_OPEN = """
CREATE FUNCTION administrators_only_open() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
  IF OLD.status = 'created' AND NEW.status = 'open' AND OLD.roster_version > 0
    AND clock_timestamp() < OLD.closes_at
  THEN
    NEW.opened_at := clock_timestamp();
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'the pages open an election that has a roster, and no other way'
    USING ERRCODE = 'check_violation';
END $$
"""
ONLY_OPEN_TRIGGER = """
CREATE TRIGGER administrators_only_open BEFORE UPDATE ON elections FOR EACH ROW
WHEN (current_user = {name}) EXECUTE FUNCTION administrators_only_open()
"""


def upgrade() -> None:
    name = Settings.load().admin_role
    role = role_name(op.get_bind(), name, "VOTEPYRAMID_ADMIN_ROLE")
    op.execute(_GRANT.format(administrators=role))
    op.execute(ONLY_OPEN)
    quoted = name.replace("'", "''")
    op.execute(ONLY_OPEN_TRIGGER.format(name=f"'{quoted}'"))


def downgrade() -> None:
    role = op.get_bind().dialect.identifier_preparer.quote(Settings.load().admin_role)
    op.execute("DROP TRIGGER administrators_only_open ON elections")
    op.execute("DROP FUNCTION administrators_only_open()")
    op.execute(f"REVOKE INSERT, UPDATE ON elections FROM {role}")
