"""Exports that the administrators' pages ask for, and the role that makes them.

Revision: 0025
Follows: 0024

The pages ask, by a row, and say by it that one is to be removed. The exporter's role
reads what an export has, writes into the row what it came to, and changes nothing else.
It unwraps the data keys, for ballots stay sealed within, and signs with the key for
statements; it sees no voter's id, and no key that makes tokens, receipts or logs.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_READS = """
GRANT SELECT ON alembic_version, elections, election_statements, log_heads,
  log_entries, log_tiles, archived_histories, wrapped_keys, asked_exports
TO {exporter}
"""
_READS_VOTES = """
GRANT SELECT (id, election, receipt_hash, status, receipt, tag, ballot_snapshot)
ON vote_submissions TO {exporter}
"""
_FINISHES = """
GRANT UPDATE (finished_at, status, files, bytes, sums, lacking, waiting, unopened,
  gone_at) ON asked_exports TO {exporter}
"""
_OPENS = """
CREATE POLICY exporter_opens ON wrapped_keys FOR SELECT TO {exporter}
  USING (purpose IN ('data', 'statements'))
"""
_READS_LOGS = """
CREATE POLICY exporter_reads ON {table} FOR SELECT TO {exporter}
  USING (kind IN ('audit', 'receipts'))
"""
_ASKS = """
GRANT SELECT, INSERT (election, asked_by), UPDATE (removed_by)
  ON asked_exports TO {administrators}
"""
GRANTS = (
    "GRANT USAGE ON SCHEMA public TO {exporter}",
    _READS,
    "GRANT SELECT (election) ON voters TO {exporter}",
    'GRANT SELECT (election, "user", used) ON vote_tokens TO {exporter}',
    _READS_VOTES,
    "GRANT SELECT (election, kind, subject, queued_at) ON log_queue TO {exporter}",
    "GRANT SELECT (id, election, kind, subject) ON audit_events TO {exporter}",
    "GRANT INSERT (election, kind, subject, detail) ON audit_events TO {exporter}",
    _FINISHES,
    _OPENS,
    _READS_LOGS.replace("{table}", "log_entries"),
    _READS_LOGS.replace("{table}", "log_tiles"),
    _ASKS,
)
POLICIES = {
    "wrapped_keys": "exporter_opens",
    "log_entries": "exporter_reads",
    "log_tiles": "exporter_reads",
}
_FINISHED = """
num_nonnulls(finished_at, status, files, bytes, sums, lacking, waiting, unopened)
  IN (0, 8)
"""


def upgrade() -> None:
    _make_table()
    settings, bind = Settings.load(), op.get_bind()
    names = {
        "exporter": role_name(
            bind, settings.exporter_role, "VOTEPYRAMID_EXPORTER_ROLE"
        ),
        "administrators": bind.dialect.identifier_preparer.quote(settings.admin_role),
    }
    for statement in GRANTS:
        op.execute(statement.format(**names))


def _make_table() -> None:
    time, number = sa.DateTime(timezone=True), sa.BigInteger()
    op.create_table(
        "asked_exports",
        sa.Column(
            "id", sa.Uuid(), server_default=sa.func.gen_random_uuid(), nullable=False
        ),
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column(
            "asked_at",
            time,
            server_default=sa.func.clock_timestamp(),
            nullable=False,
        ),
        sa.Column("finished_at", time),
        sa.Column("status", sa.Text()),
        *(sa.Column(name, number) for name in ("files", "bytes")),
        sa.Column("sums", sa.Text()),
        *(sa.Column(name, number) for name in ("lacking", "waiting", "unopened")),
        sa.Column("removed_by", sa.Text()),
        sa.Column("gone_at", time),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asked_exports")),
        sa.ForeignKeyConstraint(
            ["election"],
            ["elections.id"],
            name=op.f("fk_asked_exports_election_elections"),
        ),
        sa.CheckConstraint(_FINISHED, name=op.f("ck_asked_exports_finished")),
        sa.CheckConstraint(
            "sums ~ '^[0-9a-f]{64}$'", name=op.f("ck_asked_exports_sums")
        ),
        sa.CheckConstraint(
            "gone_at IS NULL OR removed_by IS NOT NULL",
            name=op.f("ck_asked_exports_removed"),
        ),
    )
    op.create_index("ix_asked_exports_asked_at", "asked_exports", ["asked_at"])
    op.create_index(
        "uq_asked_exports_election",
        "asked_exports",
        ["election"],
        unique=True,
        postgresql_where=sa.text("sums IS NULL AND removed_by IS NULL"),
    )


def downgrade() -> None:
    name = Settings.load().exporter_role
    role = op.get_bind().dialect.identifier_preparer.quote(name)
    for table, policy in POLICIES.items():
        op.execute(f"DROP POLICY {policy} ON {table}")
    op.drop_table("asked_exports")
    op.execute(
        "REVOKE ALL ON alembic_version, elections, election_statements, log_heads, "
        "log_entries, log_tiles, log_queue, archived_histories, wrapped_keys, voters, "
        f"vote_tokens, vote_submissions, audit_events FROM {role}"
    )
