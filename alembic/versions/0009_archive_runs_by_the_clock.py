"""The beginnings of the archive's runs, by the database's clock alone.

Revision: 0009
Follows: 0008

Whoever writes a time of their own could silence the alarm for years. A run has its row
from its beginning; it is finished once it has its counts. A worker of before this
cannot note its run any more: the step is tried again until a new worker has it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from votepyramid.settings import Settings

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

UP = (
    "REVOKE INSERT ON archive_runs FROM {role}",
    "GRANT INSERT (found, added), UPDATE (found, added) ON archive_runs TO {role}",
)
DOWN = (
    "REVOKE INSERT (found, added), UPDATE (found, added) ON archive_runs FROM {role}",
    "GRANT INSERT ON archive_runs TO {role}",
)


def upgrade() -> None:
    op.alter_column(
        "archive_runs", "began_at", server_default=sa.func.clock_timestamp()
    )
    for counted in ("found", "added"):
        op.alter_column("archive_runs", counted, nullable=True)
    # Of a table with a row for each run: read in no time.
    op.create_check_constraint(
        op.f("ck_archive_runs_finished"),
        "archive_runs",
        "(found IS NULL) = (added IS NULL)",
    )
    _execute(UP)


def downgrade() -> None:
    _execute(DOWN)
    op.execute("DELETE FROM archive_runs WHERE found IS NULL")
    op.drop_constraint(op.f("ck_archive_runs_finished"), "archive_runs")
    for counted in ("found", "added"):
        op.alter_column("archive_runs", counted, nullable=False)
    op.alter_column("archive_runs", "began_at", server_default=None)


def _execute(statements: tuple[str, ...]) -> None:
    quote = op.get_bind().dialect.identifier_preparer.quote
    role = quote(Settings.load().app_role)
    for statement in statements:
        op.execute(statement.format(role=role))
