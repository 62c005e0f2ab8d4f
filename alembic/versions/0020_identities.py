"""Who people are at an identity provider, and who is there just now.

Revision: 0020
Follows: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from votepyramid.settings import Settings

revision = "0020"
down_revision = "0017"
branch_labels = None
depends_on = None

GRANTS = (
    "GRANT SELECT, DELETE ON people_identities, people_oidc_requests TO {role}",
    "GRANT INSERT (person, issuer, subject) ON people_identities TO {role}",
    "GRANT UPDATE (last_used_at) ON people_identities TO {role}",
    (
        "GRANT INSERT (id, purpose, session, setup, name, next) "
        "ON people_oidc_requests TO {role}"
    ),
    # How long ago they signed in there, a new session has to know.
    "GRANT INSERT (signed_in_at) ON people_sessions TO {role}",
)


def upgrade() -> None:
    _identities()
    _requests()
    role = _role()
    for statement in GRANTS:
        op.execute(statement.format(role=role))


def _identities() -> None:
    table = "people_identities"
    op.create_table(
        table,
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=False),
        _now("created_at"),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f(f"pk_{table}")),
        sa.ForeignKeyConstraint(
            ["person"], ["people.id"], name=op.f(f"fk_{table}_person_people")
        ),
        sa.UniqueConstraint("person", "issuer", name=op.f(f"uq_{table}_person_issuer")),
        _check(table, "issuer", "char_length(issuer) BETWEEN 1 AND 2048"),
        _check(table, "subject", "char_length(subject) BETWEEN 1 AND 255"),
    )


def _requests() -> None:
    table = "people_oidc_requests"
    op.create_table(
        table,
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("session", sa.LargeBinary()),
        sa.Column("setup", sa.LargeBinary()),
        sa.Column("name", sa.Text()),
        sa.Column("next", sa.Text(), nullable=False),
        _now("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        *(_gone_with(table, *one) for one in _OWNERS),
        _check(table, "id", "octet_length(id) = 32"),
        _check(
            table,
            "purpose",
            "purpose IN ('sign_in', 'sign_in_again', 'bind', 'set_up')",
        ),
        _check(table, "next", "char_length(next) <= 4096"),
        _check(table, "name", "char_length(name) <= 64"),
    )
    for column in ("session", "setup", "created_at"):
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])


_OWNERS = (("session", "people_sessions"), ("setup", "people_setup"))


def _gone_with(table: str, column: str, owner: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{owner}")
    return sa.ForeignKeyConstraint(
        [column], [f"{owner}.id"], name=name, ondelete="CASCADE"
    )


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))


def _now(name: str) -> sa.Column:
    kind = sa.DateTime(timezone=True)
    default = sa.func.clock_timestamp()
    return sa.Column(name, kind, nullable=False, server_default=default)


def _role() -> str:
    return op.get_bind().dialect.identifier_preparer.quote(Settings.load().admin_role)


def downgrade() -> None:
    op.drop_table("people_oidc_requests")
    op.drop_table("people_identities")
    op.execute(f"REVOKE INSERT (signed_in_at) ON people_sessions FROM {_role()}")
