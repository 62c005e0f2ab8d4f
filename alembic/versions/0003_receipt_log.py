"""The log of receipts, and who may write it.

Revision: 0003
Follows: 0002

The database itself queues every accepted vote for the log, in the vote's transaction:
code that does not know the log, or wants to pass it by, cannot. Only the sequencer's
role appends, and nobody's grant lets an entry be changed.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_PURPOSES = (
    "('issuance', 'data', 'ballot-box', 'receipt-log', 'audit-log', 'statements')"
)
_OLD_PURPOSES = "('issuance', 'ballot-box', 'data')"

# As the owner: whoever inserts a vote needs no right to the queue.
QUEUE = """
CREATE FUNCTION queue_accepted_votes() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO log_queue (election, kind, sort, subject)
    SELECT election, 'receipts', tag, receipt_hash FROM added
    WHERE status = 'accepted';
  RETURN NULL;
END $$
"""
QUEUE_TRIGGER = """
CREATE TRIGGER queue_accepted_votes AFTER INSERT ON vote_submissions
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION queue_accepted_votes()
"""
# What was accepted before there was a log.
BACKLOG = """
INSERT INTO log_queue (election, kind, sort, subject)
SELECT election, 'receipts', tag, receipt_hash FROM vote_submissions
WHERE status = 'accepted'
"""
_KEYS_OF_THE_LOGS = """
CREATE POLICY sequencer ON wrapped_keys FOR SELECT TO {sequencer}
  USING (purpose IN ('receipt-log', 'audit-log'))
"""
_VOTES = """
GRANT SELECT (election, receipt_hash, status, receipt) ON vote_submissions
  TO {sequencer}
"""
_HEADS = """
GRANT UPDATE (size, root, checkpoint, checkpoint_size) ON log_heads TO {sequencer}
"""
GRANTS = (
    "GRANT USAGE ON SCHEMA public TO {sequencer}",
    "GRANT SELECT ON alembic_version, elections, wrapped_keys TO {sequencer}",
    _KEYS_OF_THE_LOGS,
    _VOTES,
    "GRANT SELECT ON log_queue, log_heads, log_entries, log_tiles TO {sequencer}",
    "GRANT DELETE ON log_queue TO {sequencer}",
    "GRANT INSERT ON log_heads, log_entries, log_tiles TO {sequencer}",
    _HEADS,
    "GRANT UPDATE (hashes) ON log_tiles TO {sequencer}",
    "GRANT SELECT ON log_heads, log_entries, log_tiles TO {application}",
)


def upgrade() -> None:
    _purposes(_PURPOSES)
    op.create_table(
        "log_queue",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sort", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column(
            "queued_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_queue")),
    )
    op.create_index("ix_log_queue_election", "log_queue", ["election", "kind"])
    op.create_table(
        "log_heads",
        *_log_columns(),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=True),
        sa.Column(
            "checkpoint_size", sa.BigInteger(), server_default="0", nullable=False
        ),
        sa.PrimaryKeyConstraint("election", "kind", name=op.f("pk_log_heads")),
        sa.ForeignKeyConstraint(
            ["election"],
            ["elections.id"],
            name=op.f("fk_log_heads_election_elections"),
        ),
    )
    op.create_table(
        "log_entries",
        *_log_columns(),
        sa.Column("index", sa.BigInteger(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "election", "kind", "index", name=op.f("pk_log_entries")
        ),
    )
    op.create_index(
        "uq_log_entries_leaf_hash",
        "log_entries",
        ["election", "kind", "leaf_hash"],
        unique=True,
    )
    op.create_table(
        "log_tiles",
        *_log_columns(),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("index", sa.BigInteger(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "election", "kind", "level", "index", name=op.f("pk_log_tiles")
        ),
    )
    op.execute(QUEUE)
    op.execute(QUEUE_TRIGGER)
    op.execute(BACKLOG)
    _grant(Settings.load())


def _log_columns() -> list[sa.Column[str]]:
    return [
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
    ]


def _purposes(allowed: str) -> None:
    op.drop_constraint(op.f("ck_wrapped_keys_purpose"), "wrapped_keys")
    op.create_check_constraint(
        op.f("ck_wrapped_keys_purpose"), "wrapped_keys", f"purpose IN {allowed}"
    )


def _grant(settings: Settings) -> None:
    connection = op.get_bind()
    quote = connection.dialect.identifier_preparer.quote
    names = {
        "sequencer": role_name(
            connection, settings.sequencer_role, "VOTEPYRAMID_SEQUENCER_ROLE"
        ),
        "application": quote(settings.app_role),
    }
    for statement in GRANTS:
        op.execute(statement.format(**names))


def downgrade() -> None:
    op.execute("DROP TRIGGER queue_accepted_votes ON vote_submissions")
    op.execute("DROP FUNCTION queue_accepted_votes()")
    op.execute("DROP POLICY sequencer ON wrapped_keys")
    for table in ("log_tiles", "log_entries", "log_heads", "log_queue"):
        op.drop_table(table)
    op.execute(f"DELETE FROM wrapped_keys WHERE purpose NOT IN {_OLD_PURPOSES}")
    _purposes(_OLD_PURPOSES)
    # What is left is a table's columns, whose grants go with no table.
    quote = op.get_bind().dialect.identifier_preparer.quote
    role = quote(Settings.load().sequencer_role)
    op.execute(
        f"REVOKE ALL ON alembic_version, elections, wrapped_keys, vote_submissions "
        f"FROM {role}"
    )
