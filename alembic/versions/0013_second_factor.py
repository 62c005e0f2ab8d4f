"""Security keys of those who run elections, and who has shown theirs.

Revision: 0013
Follows: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from votepyramid.settings import Settings

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

GRANTS = (
    "GRANT UPDATE (second_factor_at) ON people_sessions TO {role}",
    "GRANT SELECT, DELETE ON people_authenticators, people_challenges TO {role}",
    (
        "GRANT INSERT (id, person, public_key, sign_count, name) "
        "ON people_authenticators TO {role}"
    ),
    "GRANT UPDATE (sign_count, last_used_at) ON people_authenticators TO {role}",
    "GRANT INSERT, UPDATE (challenge, expires_at) ON people_challenges TO {role}",
)


def upgrade() -> None:
    op.add_column("people_sessions", _time("second_factor_at", nullable=True))
    op.create_table(
        "people_authenticators",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        _time("created_at", default=sa.func.clock_timestamp()),
        _time("last_used_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people_authenticators")),
        sa.ForeignKeyConstraint(
            ["person"],
            ["people.id"],
            name=op.f("fk_people_authenticators_person_people"),
        ),
        sa.UniqueConstraint(
            "person", "name", name=op.f("uq_people_authenticators_person_name")
        ),
        sa.CheckConstraint(
            "octet_length(id) BETWEEN 1 AND 1023",
            name=op.f("ck_people_authenticators_id"),
        ),
        sa.CheckConstraint(
            "octet_length(public_key) BETWEEN 1 AND 2048",
            name=op.f("ck_people_authenticators_public_key"),
        ),
        sa.CheckConstraint(
            "sign_count BETWEEN 0 AND 4294967295",
            name=op.f("ck_people_authenticators_sign_count"),
        ),
        sa.CheckConstraint(
            "char_length(name) BETWEEN 1 AND 64",
            name=op.f("ck_people_authenticators_name"),
        ),
    )
    op.create_table(
        "people_challenges",
        sa.Column("session", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("challenge", sa.LargeBinary(), nullable=False),
        _time("expires_at"),
        sa.PrimaryKeyConstraint(
            "session", "purpose", name=op.f("pk_people_challenges")
        ),
        sa.ForeignKeyConstraint(
            ["session"],
            ["people_sessions.id"],
            name=op.f("fk_people_challenges_session_people_sessions"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "purpose IN ('register', 'assert')",
            name=op.f("ck_people_challenges_purpose"),
        ),
    )
    role = _role()
    for statement in GRANTS:
        op.execute(statement.format(role=role))


def _time(name: str, *, nullable: bool = False, default: object = None) -> sa.Column:
    kind = sa.DateTime(timezone=True)
    return sa.Column(name, kind, nullable=nullable, server_default=default)


def _role() -> str:
    return op.get_bind().dialect.identifier_preparer.quote(Settings.load().admin_role)


def downgrade() -> None:
    op.drop_table("people_challenges")
    op.drop_table("people_authenticators")
    op.drop_column("people_sessions", "second_factor_at")
