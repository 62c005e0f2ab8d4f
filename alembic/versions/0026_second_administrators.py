"""A second administrator is a second person, and orders end.

Revision: 0026
Follows: 0025

Who let somebody in is kept, with when it was last. An order that is going on can be
stopped, once and by somebody; and says when it last got further, as after a while it is
carried out no more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NOW = sa.text("clock_timestamp()")
_CHECKS = {
    "stopped": "stopped_by IS NULL OR stopped_at IS NOT NULL",
    "begun": "stopped_at IS NULL OR alone OR outcome IS NOT DISTINCT FROM 'agreed'",
}
GRANTS = (
    """
    GRANT SELECT, INSERT (person, voucher), UPDATE (vouched_at)
    ON people_vouchers TO {role}
    """,
    "GRANT UPDATE (went_on_at, stopped_at, stopped_by) ON orders TO {role}",
)
_DECIDED_ONCE = """
CREATE OR REPLACE FUNCTION order_decided_once() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
  IF OLD.over_at IS NOT NULL OR (
    OLD.outcome IS NOT NULL AND
    (NEW.outcome, NEW.decided_by, NEW.decided_at)
      IS DISTINCT FROM (OLD.outcome, OLD.decided_by, OLD.decided_at)
  ){stopped} THEN
    RAISE EXCEPTION 'the order is over, or decided' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$
"""
_STOPPED_ONCE = """ OR (
    OLD.stopped_at IS NOT NULL AND
    (NEW.stopped_at, NEW.stopped_by)
      IS DISTINCT FROM (OLD.stopped_at, OLD.stopped_by)
  )"""


def upgrade() -> None:
    op.create_table(
        "people_vouchers",
        sa.Column("person", sa.Uuid(), nullable=False),
        sa.Column("voucher", sa.Text(), nullable=False),
        sa.Column("vouched_at", _TIME, server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("person", "voucher", name=op.f("pk_people_vouchers")),
        sa.ForeignKeyConstraint(
            ["person"], ["people.id"], name=op.f("fk_people_vouchers_person_people")
        ),
        sa.CheckConstraint(
            "char_length(voucher) BETWEEN 1 AND 64",
            name=op.f("ck_people_vouchers_voucher"),
        ),
    )
    for column in ("went_on_at", "stopped_at"):
        op.add_column("orders", sa.Column(column, _TIME, nullable=True))
    op.add_column("orders", sa.Column("stopped_by", sa.Text(), nullable=True))
    op.create_foreign_key(
        op.f("fk_orders_stopped_by_people"),
        "orders",
        "people",
        ["stopped_by"],
        ["name"],
    )
    for name, condition in _CHECKS.items():
        op.create_check_constraint(op.f(f"ck_orders_{name}"), "orders", condition)
    op.execute(_DECIDED_ONCE.format(stopped=_STOPPED_ONCE))
    name = Settings.load().admin_role
    role = role_name(op.get_bind(), name, "VOTEPYRAMID_ADMIN_ROLE")
    for grant in GRANTS:
        op.execute(grant.format(role=role))


def downgrade() -> None:
    op.execute(_DECIDED_ONCE.format(stopped=""))
    for name in _CHECKS:
        op.drop_constraint(op.f(f"ck_orders_{name}"), "orders")
    for column in ("stopped_by", "stopped_at", "went_on_at"):
        op.drop_column("orders", column)
    op.drop_table("people_vouchers")
