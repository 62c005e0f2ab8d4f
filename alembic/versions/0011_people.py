"""Who runs elections: people, their sessions, and links by which they set up.

Revision: 0011
Follows: 0010

They are the owner's alone: no other role gets anything on them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "people",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()")),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("roles", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("password_hash", sa.Text()),
        _time("disabled_at", nullable=True),
        sa.Column("failed_count", sa.Integer(), server_default="0", nullable=False),
        _time("locked_until", nullable=True),
        _time("created_at", now=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people")),
        sa.UniqueConstraint("name", name=op.f("uq_people_name")),
        sa.CheckConstraint(
            "name ~ '^[a-z0-9][a-z0-9._@+-]{0,63}$'", name=op.f("ck_people_name")
        ),
        sa.CheckConstraint(
            "cardinality(roles) > 0 AND roles <@ "
            "ARRAY['viewer', 'operator', 'administrator', 'auditor']",
            name=op.f("ck_people_roles"),
        ),
    )
    _by_secret("people_sessions", False, "seen_at", "signed_in_at", end="revoked_at")
    _by_secret("people_setup", True, end="used_at")


def _by_secret(table: str, anonymous: bool, *times: str, end: str) -> None:
    """A table whose rows are found by the SHA-256 of a secret."""
    op.create_table(
        table,
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=anonymous),
        _time("created_at", now=True),
        *(_time(name, now=True) for name in times),
        _time("expires_at"),
        _time(end, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        sa.ForeignKeyConstraint(
            ["person"], ["people.id"], name=op.f(f"fk_{table}_person_people")
        ),
        sa.CheckConstraint("octet_length(id) = 32", name=op.f(f"ck_{table}_id")),
    )
    op.create_index(op.f(f"ix_{table}_person"), table, ["person"])


def _time(name: str, *, nullable: bool = False, now: bool = False) -> sa.Column:
    default = sa.func.clock_timestamp() if now else None
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=default, nullable=nullable
    )


def downgrade() -> None:
    for table in ("people_setup", "people_sessions", "people"):
        op.drop_table(table)
