"""What each process says of itself every few seconds, for the administrators' pages.

Revision: 0015
Follows: 0014

Unlogged: it is no evidence, and must not cost the votes' write-ahead log anything.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# When it was is the database's to say; old rows are cleared away by whoever reports.
REPORTS = "INSERT (process, kind, host, pid, started_at, numbers), SELECT (at), DELETE"


def upgrade() -> None:
    op.create_table(
        "vitals",
        sa.Column("process", sa.Uuid(), nullable=False),
        _time("at", server_default=sa.func.clock_timestamp()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        _time("started_at"),
        sa.Column("numbers", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("process", "at", name=op.f("pk_vitals")),
        sa.CheckConstraint(
            "octet_length(numbers::text) <= 65536",
            name=op.f("ck_vitals_numbers_size"),
        ),
        prefixes=["UNLOGGED"],
    )
    op.create_index("ix_vitals_at", "vitals", ["at"])
    settings = Settings.load()
    for name in ("app_role", "sequencer_role", "keeper_role"):
        role = _role(settings, name)
        op.execute(f"GRANT {REPORTS} ON vitals TO {role}")
    admin = _role(settings, "admin_role")
    op.execute(f"GRANT SELECT ON vitals TO {admin}")
    # Turnout by ballot style: a count, and suppressed where few have the style.
    op.execute(f"GRANT SELECT (style) ON vote_tokens TO {admin}")


def _role(settings: Settings, name: str) -> str:
    return role_name(
        op.get_bind(), getattr(settings, name), f"VOTEPYRAMID_{name.upper()}"
    )


def _time(name: str, **how: object) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, **how)


def downgrade() -> None:
    admin = _role(Settings.load(), "admin_role")
    op.execute(f"REVOKE SELECT (style) ON vote_tokens FROM {admin}")
    op.drop_table("vitals")
