"""The archive of workflow histories.

Revision: 0007
Follows: 0006

Workers add what Temporal will forget. Nobody's grant lets them change or remove it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from votepyramid.settings import Settings

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

GRANTS = (
    "GRANT INSERT ON archived_histories, archive_runs TO {role}",
    "GRANT SELECT (run_id) ON archived_histories TO {role}",
    "GRANT SELECT ON archive_runs TO {role}",
)


def upgrade() -> None:
    op.create_table(
        "archived_histories",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("history", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_archived_histories")),
    )
    op.create_index(
        "ix_archived_histories_election", "archived_histories", ["election"]
    )
    op.create_table(
        "archive_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("found", sa.BigInteger(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archive_runs")),
    )
    quote = op.get_bind().dialect.identifier_preparer.quote
    role = quote(Settings.load().app_role)
    for statement in GRANTS:
        op.execute(statement.format(role=role))


def downgrade() -> None:
    op.drop_table("archive_runs")
    op.drop_table("archived_histories")
