"""Orders: what a second administrator has to agree to, and what takes many requests.

Revision: 0021
Follows: 0020

That who agreed is another person than who ordered is a constraint, and both are people
of this installation. An order is neither changed nor removed: it is decided once, and
how far it is is written beside it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("clock_timestamp()")
_CHECKS = {
    "reason": "char_length(reason) BETWEEN 1 AND 200",
    "asked": "octet_length(asked::text) <= 8192",
    "outcome": "outcome IN ('agreed', 'declined', 'withdrawn')",
    "decided": "(outcome IS NULL) = (decided_by IS NULL) "
    "AND (outcome IS NULL) = (decided_at IS NULL)",
    "two_people": "CASE outcome WHEN 'withdrawn' THEN decided_by = given_by "
    "ELSE decided_by <> given_by END",
    "of_an_election": "alone OR election IS NOT NULL",
    "carried_out": "over_at IS NULL OR alone OR outcome IS NOT DISTINCT FROM 'agreed'",
}
_GRANT = """
GRANT SELECT, INSERT (election, asked, alone, reason, given_by),
  UPDATE (decided_by, decided_at, outcome, place, done, votes, refused, said, over_at)
ON orders TO {administrators}
"""
DECIDED_ONCE = """
CREATE FUNCTION order_decided_once() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
  IF OLD.over_at IS NOT NULL OR (
    OLD.outcome IS NOT NULL AND
    (NEW.outcome, NEW.decided_by, NEW.decided_at)
      IS DISTINCT FROM (OLD.outcome, OLD.decided_by, OLD.decided_at)
  ) THEN
    RAISE EXCEPTION 'the order is over, or decided' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$
"""
DECIDED_ONCE_TRIGGER = """
CREATE TRIGGER order_decided_once BEFORE UPDATE ON orders FOR EACH ROW
EXECUTE FUNCTION order_decided_once()
"""


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column(
            "id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False
        ),
        sa.Column("election", sa.Text(), nullable=True),
        sa.Column("asked", postgresql.JSONB(), nullable=False),
        sa.Column("alone", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("given_by", sa.Text(), nullable=False),
        sa.Column("given_at", _TIME, server_default=_NOW, nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", _TIME, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("votes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("refused", sa.Integer(), server_default="0", nullable=False),
        sa.Column("said", sa.Text(), nullable=True),
        sa.Column("over_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.ForeignKeyConstraint(
            ["election"], ["elections.id"], name=op.f("fk_orders_election_elections")
        ),
        *(
            sa.ForeignKeyConstraint(
                [column], ["people.name"], name=op.f(f"fk_orders_{column}_people")
            )
            for column in ("given_by", "decided_by")
        ),
        *(
            sa.CheckConstraint(condition, name=op.f(f"ck_orders_{name}"))
            for name, condition in _CHECKS.items()
        ),
    )
    op.create_index(op.f("ix_orders_given_at"), "orders", ["given_at"])
    op.execute(DECIDED_ONCE)
    op.execute(DECIDED_ONCE_TRIGGER)
    name = Settings.load().admin_role
    role = role_name(op.get_bind(), name, "VOTEPYRAMID_ADMIN_ROLE")
    op.execute(_GRANT.format(administrators=role))


def downgrade() -> None:
    op.drop_table("orders")
    op.execute("DROP FUNCTION order_decided_once()")
