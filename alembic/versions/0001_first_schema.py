"""First schema, and what the application role may do with it.

Revision: 0001
Follows: nothing

Elections, rosters and keys are an operator's, made with the owner role. The
application role reads them, issues tokens, inserts votes and audit events, and
can change nothing that was accepted: no UPDATE on ballots or events, no DELETE
anywhere.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_READ = """
GRANT SELECT ON alembic_version, elections, voters, roster_versions, roster_rows,
  claim_refusals, vote_tokens, vote_submissions, vote_groups, wrapped_keys TO {role}
"""
_ADD = """
GRANT INSERT ON vote_tokens, vote_submissions, vote_groups, claim_refusals,
  audit_events, wrapped_keys TO {role}
"""
# A worker makes its own data keys; the other purposes are an operator's. The owner
# is above row security.
_DATA_KEYS_ONLY = """
CREATE POLICY data_keys ON wrapped_keys FOR INSERT TO {role}
  WITH CHECK (purpose = 'data')
"""
GRANTS = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    _READ,
    _ADD,
    "ALTER TABLE wrapped_keys ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY readable ON wrapped_keys FOR SELECT TO {role} USING (true)",
    _DATA_KEYS_ONLY,
    "GRANT UPDATE (used, reuse_count, rejected_count) ON vote_tokens TO {role}",
    "GRANT UPDATE (group_id, outcome) ON vote_groups TO {role}",
    "GRANT UPDATE (count) ON claim_refusals TO {role}",
)

# Whoever may mark a token used must not be able to unmark it.
USED_STAYS_USED = """
CREATE FUNCTION token_stays_used() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a used token stays used' USING ERRCODE = 'check_violation';
END $$
"""
USED_STAYS_USED_TRIGGER = """
CREATE TRIGGER token_stays_used BEFORE UPDATE ON vote_tokens FOR EACH ROW
WHEN (OLD.used AND NOT NEW.used) EXECUTE FUNCTION token_stays_used()
"""


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column(
            "detail",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
    )
    op.create_table(
        "elections",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("signed_manifest", sa.Text(), nullable=False),
        sa.Column("manifest_hash", sa.LargeBinary(), nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("policy_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="created", nullable=False),
        sa.Column("opens_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("grace_seconds", sa.Integer(), nullable=False),
        sa.Column("roster_version", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('created', 'open', 'closed', 'unlinked')",
            name=op.f("ck_elections_status"),
        ),
        sa.CheckConstraint(
            "octet_length(manifest_hash) = 32", name=op.f("ck_elections_manifest_hash")
        ),
        sa.CheckConstraint("opens_at < closes_at", name=op.f("ck_elections_period")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_elections")),
        sa.UniqueConstraint("manifest_hash", name=op.f("uq_elections_manifest_hash")),
    )
    op.create_table(
        "wrapped_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("public", sa.Text(), nullable=True),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "purpose IN ('issuance', 'ballot-box', 'data')",
            name=op.f("ck_wrapped_keys_purpose"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wrapped_keys")),
    )
    op.create_index(
        "uq_wrapped_keys_single",
        "wrapped_keys",
        ["election", "purpose"],
        unique=True,
        postgresql_where=sa.text("purpose <> 'data'"),
    )
    op.create_table(
        "claim_refusals",
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("pseudonym", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), server_default="1", nullable=False),
        sa.ForeignKeyConstraint(
            ["election"],
            ["elections.id"],
            name=op.f("fk_claim_refusals_election_elections"),
        ),
        sa.PrimaryKeyConstraint(
            "election", "pseudonym", "reason", name=op.f("pk_claim_refusals")
        ),
    )
    op.create_table(
        "roster_versions",
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("file_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("voters", sa.Integer(), nullable=False),
        sa.Column(
            "imported_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["election"],
            ["elections.id"],
            name=op.f("fk_roster_versions_election_elections"),
        ),
        sa.PrimaryKeyConstraint("election", "version", name=op.f("pk_roster_versions")),
    )
    op.create_table(
        "vote_groups",
        sa.Column("receipt_hash", sa.String(length=128), nullable=False),
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["election"],
            ["elections.id"],
            name=op.f("fk_vote_groups_election_elections"),
        ),
        sa.PrimaryKeyConstraint("receipt_hash", name=op.f("pk_vote_groups")),
    )
    op.create_table(
        "vote_submissions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("tag", sa.LargeBinary(), nullable=False),
        sa.Column("ciphertext_hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "ballot_snapshot",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
        ),
        sa.Column("receipt_hash", sa.String(length=128), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.Column("receipt_key_id", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status = 'accepted') = (receipt IS NOT NULL AND ballot_snapshot "
            "IS NOT NULL AND code IS NULL)",
            name=op.f("ck_vote_submissions_decided"),
        ),
        sa.CheckConstraint(
            "status IN ('accepted', 'rejected')",
            name=op.f("ck_vote_submissions_status"),
        ),
        sa.ForeignKeyConstraint(
            ["election"],
            ["elections.id"],
            name=op.f("fk_vote_submissions_election_elections"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vote_submissions")),
    )
    op.create_index(
        "uq_vote_submissions_ciphertext",
        "vote_submissions",
        ["election", "ciphertext_hash"],
        unique=True,
        postgresql_where=sa.text("status = 'accepted'"),
    )
    op.create_index(
        "uq_vote_submissions_receipt",
        "vote_submissions",
        ["receipt_hash"],
        unique=True,
        postgresql_where=sa.text("status = 'accepted'"),
    )
    op.create_index(
        "uq_vote_submissions_rejected",
        "vote_submissions",
        ["receipt_hash"],
        unique=True,
        postgresql_where=sa.text("status = 'rejected'"),
    )
    op.create_index(
        "uq_vote_submissions_tag",
        "vote_submissions",
        ["election", "tag"],
        unique=True,
        postgresql_where=sa.text("status = 'accepted'"),
    )
    op.create_table(
        "voters",
        sa.Column(
            "ref",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("voter_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["election"], ["elections.id"], name=op.f("fk_voters_election_elections")
        ),
        sa.PrimaryKeyConstraint("ref", name=op.f("pk_voters")),
        sa.UniqueConstraint(
            "election", "voter_id", name=op.f("uq_voters_election_voter_id")
        ),
    )
    op.create_table(
        "roster_rows",
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("voter", sa.Uuid(), nullable=False),
        sa.Column("precinct", sa.Text(), nullable=False),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["election", "version"],
            ["roster_versions.election", "roster_versions.version"],
            name=op.f("fk_roster_rows_election_roster_versions"),
        ),
        sa.ForeignKeyConstraint(
            ["voter"], ["voters.ref"], name=op.f("fk_roster_rows_voter_voters")
        ),
        sa.PrimaryKeyConstraint(
            "election", "version", "voter", name=op.f("pk_roster_rows")
        ),
    )
    op.create_table(
        "vote_tokens",
        sa.Column("token", sa.Uuid(), nullable=False),
        sa.Column("user", sa.Uuid(), nullable=False),
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column(
            "issued_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "used", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("style", sa.Text(), nullable=False),
        sa.Column("counter", sa.Integer(), server_default="0", nullable=False),
        sa.Column("policy_hash", sa.Text(), nullable=False),
        sa.Column("roster_version", sa.Integer(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reuse_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rejected_count", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["election"],
            ["elections.id"],
            name=op.f("fk_vote_tokens_election_elections"),
        ),
        sa.ForeignKeyConstraint(
            ["user"], ["voters.ref"], name=op.f("fk_vote_tokens_user_voters")
        ),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_vote_tokens")),
    )
    op.create_index(
        "uq_vote_tokens_live",
        "vote_tokens",
        ["election", "user"],
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.execute(USED_STAYS_USED)
    op.execute(USED_STAYS_USED_TRIGGER)
    _grant(Settings.load().app_role)


def _grant(role: str) -> None:
    name = role_name(op.get_bind(), role, "VOTEPYRAMID_APP_ROLE")
    for statement in GRANTS:
        op.execute(statement.format(role=name))


def downgrade() -> None:
    op.drop_index(
        "uq_vote_tokens_live",
        table_name="vote_tokens",
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.drop_table("vote_tokens")
    op.execute("DROP FUNCTION token_stays_used()")
    op.drop_table("roster_rows")
    op.drop_table("voters")
    op.drop_index(
        "uq_vote_submissions_tag",
        table_name="vote_submissions",
        postgresql_where=sa.text("status = 'accepted'"),
    )
    op.drop_index(
        "uq_vote_submissions_rejected",
        table_name="vote_submissions",
        postgresql_where=sa.text("status = 'rejected'"),
    )
    op.drop_index(
        "uq_vote_submissions_receipt",
        table_name="vote_submissions",
        postgresql_where=sa.text("status = 'accepted'"),
    )
    op.drop_index(
        "uq_vote_submissions_ciphertext",
        table_name="vote_submissions",
        postgresql_where=sa.text("status = 'accepted'"),
    )
    op.drop_table("vote_submissions")
    op.drop_table("vote_groups")
    op.drop_table("roster_versions")
    op.drop_table("claim_refusals")
    op.drop_index(
        "uq_wrapped_keys_single",
        table_name="wrapped_keys",
        postgresql_where=sa.text("purpose <> 'data'"),
    )
    op.drop_table("wrapped_keys")
    op.drop_table("elections")
    op.drop_table("audit_events")
