"""Who asked for an election to be closed, and who may do it then.

Revision: 0017
Follows: 0016

Whoever runs elections asks, by a row, and takes the row back to call it off: each holds
the election's row, so that it comes before its closing or after it.

The closer's role ends an election and nothing else: it moves one that is open to
closed, when that was asked for, and one that is closed to finished, when its closing
statement stands. It signs with the key for statements and sees no other; it counts
voters, tokens and votes and reads none of them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_READS = """
GRANT SELECT ON alembic_version, elections, election_closings, election_statements,
  wrapped_keys, log_heads, log_entries TO {closer}
"""
_SIGNS = """
CREATE POLICY closer_signs ON wrapped_keys FOR SELECT TO {closer}
  USING (purpose = 'statements')
"""
_READS_THE_LOG = """
CREATE POLICY closer_reads ON log_entries FOR SELECT TO {closer}
  USING (kind = 'receipts')
"""
_ADDS = """
CREATE POLICY closer_adds ON log_tiles FOR INSERT TO {closer}
  WITH CHECK (kind = 'tags')
"""
_ASKS = """
GRANT SELECT, INSERT (election, early, asked_by), UPDATE (early, asked_by), DELETE
  ON election_closings TO {administrators}
"""
GRANTS = (
    "GRANT USAGE ON SCHEMA public TO {closer}",
    _READS,
    "GRANT SELECT (election) ON voters TO {closer}",
    'GRANT SELECT (election, "user", used) ON vote_tokens TO {closer}',
    "GRANT SELECT (election, receipt_hash, status) ON vote_submissions TO {closer}",
    "GRANT SELECT (election, receipt_hash, outcome) ON vote_groups TO {closer}",
    "GRANT SELECT (election, kind) ON log_queue TO {closer}",
    "GRANT UPDATE (status, closed_at) ON elections TO {closer}",
    "GRANT INSERT (election, kind, note) ON election_statements TO {closer}",
    "GRANT INSERT ON closing_tags, log_tiles TO {closer}",
    "GRANT INSERT (election, kind, subject, detail) ON audit_events TO {closer}",
    _SIGNS,
    _READS_THE_LOG,
    _ADDS,
    _ASKS,
)
POLICIES = {
    "wrapped_keys": "closer_signs",
    "log_entries": "closer_reads",
    "log_tiles": "closer_adds",
}

# As the owner: whoever asks needs no right to hold an election.
ASKED_IN_TIME = """
CREATE FUNCTION closing_asked_in_time() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE held elections%ROWTYPE;
BEGIN
  SELECT * INTO held FROM elections
    WHERE id = CASE TG_OP WHEN 'DELETE' THEN OLD.election ELSE NEW.election END
    FOR NO KEY UPDATE;
  IF TG_OP = 'DELETE' THEN
    IF held.status <> 'open' OR clock_timestamp() >= held.closes_at THEN
      RAISE EXCEPTION 'it is closed, or its time is over'
        USING ERRCODE = 'check_violation';
    END IF;
    RETURN OLD;
  END IF;
  IF held.status NOT IN ('open', 'closed') THEN
    RAISE EXCEPTION 'it is not open' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$
"""
ASKED_IN_TIME_TRIGGER = """
CREATE TRIGGER closing_asked_in_time BEFORE INSERT OR UPDATE OR DELETE
ON election_closings FOR EACH ROW EXECUTE FUNCTION closing_asked_in_time()
"""

# When it was closed is the database's to say: by it votes are in time or not.
ONLY_WHAT_WAS_ASKED = """
CREATE FUNCTION closer_does_what_was_asked() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
  IF OLD.status = 'open' AND NEW.status = 'closed' AND EXISTS (
    SELECT FROM election_closings
    WHERE election = NEW.id AND (early OR clock_timestamp() >= OLD.closes_at)
  ) THEN
    NEW.closed_at := clock_timestamp();
    RETURN NEW;
  END IF;
  IF OLD.status = 'closed' AND NEW.status = 'finished'
    AND NEW.closed_at IS NOT DISTINCT FROM OLD.closed_at AND EXISTS (
      SELECT FROM election_statements
      WHERE election = NEW.id AND kind = 'closing'
    )
  THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'the closer ends elections as it was asked to, and no other way'
    USING ERRCODE = 'check_violation';
END $$
"""
ONLY_WHAT_WAS_ASKED_TRIGGER = """
CREATE TRIGGER closer_does_what_was_asked BEFORE UPDATE ON elections FOR EACH ROW
WHEN (current_user = {name}) EXECUTE FUNCTION closer_does_what_was_asked()
"""


def upgrade() -> None:
    op.create_table(
        "election_closings",
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("early", sa.Boolean(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column(
            "asked_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("election", name=op.f("pk_election_closings")),
        sa.ForeignKeyConstraint(
            ["election"],
            ["elections.id"],
            name=op.f("fk_election_closings_election_elections"),
        ),
    )
    settings, bind = Settings.load(), op.get_bind()
    role = settings.closer_role
    names = {
        "closer": role_name(bind, role, "VOTEPYRAMID_CLOSER_ROLE"),
        "administrators": bind.dialect.identifier_preparer.quote(settings.admin_role),
    }
    for statement in GRANTS:
        op.execute(statement.format(**names))
    op.execute(ASKED_IN_TIME)
    op.execute(ASKED_IN_TIME_TRIGGER)
    op.execute(ONLY_WHAT_WAS_ASKED)
    quoted = role.replace("'", "''")
    op.execute(ONLY_WHAT_WAS_ASKED_TRIGGER.format(name=f"'{quoted}'"))


def downgrade() -> None:
    role = op.get_bind().dialect.identifier_preparer.quote(Settings.load().closer_role)
    op.execute("DROP TRIGGER closer_does_what_was_asked ON elections")
    op.execute("DROP FUNCTION closer_does_what_was_asked()")
    for table, policy in POLICIES.items():
        op.execute(f"DROP POLICY {policy} ON {table}")
    op.drop_table("election_closings")
    op.execute("DROP FUNCTION closing_asked_in_time()")
    op.execute(
        "REVOKE ALL ON alembic_version, elections, election_statements, wrapped_keys, "
        "log_heads, log_entries, log_tiles, log_queue, closing_tags, voters, "
        f"vote_tokens, vote_submissions, vote_groups, audit_events FROM {role}"
    )
