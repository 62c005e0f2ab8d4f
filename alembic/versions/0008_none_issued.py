"""Who was told that no token was issued to them: audited once a voter.

Revision: 0008
Follows: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from votepyramid.settings import Settings

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "none_issued",
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("pseudonym", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("election", "pseudonym", name=op.f("pk_none_issued")),
        sa.ForeignKeyConstraint(
            ["election"],
            ["elections.id"],
            name=op.f("fk_none_issued_election_elections"),
        ),
    )
    quote = op.get_bind().dialect.identifier_preparer.quote
    op.execute(f"GRANT INSERT ON none_issued TO {quote(Settings.load().app_role)}")


def downgrade() -> None:
    op.drop_table("none_issued")
