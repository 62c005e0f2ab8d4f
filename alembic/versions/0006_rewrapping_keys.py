"""Who may rewrap keys, and that nothing is wrapped under a key that is retired.

Revision: 0006
Follows: 0005

The keeper's role puts a wrapped key in the place of another and can do nothing else:
it neither adds nor wipes one. A process that was not restarted after a rotation still
wraps under the older key; once that is retired, what it wraps is refused here, before
a ballot is sealed under something that nobody will be able to open.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_READS = (
    "CREATE POLICY keeper_reads ON wrapped_keys FOR SELECT TO {keeper} USING (true)"
)
# A wiped key stays wiped, and none is wiped.
_REWRAPS = """
CREATE POLICY keeper_rewraps ON wrapped_keys FOR UPDATE TO {keeper}
  USING (wrapped IS NOT NULL) WITH CHECK (wrapped IS NOT NULL)
"""
GRANTS = (
    "GRANT USAGE ON SCHEMA public TO {keeper}",
    "GRANT SELECT ON alembic_version, wrapped_keys TO {keeper}",
    "GRANT UPDATE (wrapped) ON wrapped_keys TO {keeper}",
    "GRANT INSERT (election, kind, subject, detail) ON audit_events TO {keeper}",
    _READS,
    _REWRAPS,
)

# As the owner: whoever inserts needs no right to the list.
REFUSE_RETIRED = """
CREATE FUNCTION refuse_retired_kek() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM retired_keks
             WHERE name = substr(NEW.wrapped, 2, get_byte(NEW.wrapped, 0))) THEN
    RAISE EXCEPTION 'wrapped under a retired key-encryption key: restart the process '
      'with the new settings' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$
"""
REFUSE_RETIRED_TRIGGER = """
CREATE TRIGGER refuse_retired_kek BEFORE INSERT OR UPDATE OF wrapped ON wrapped_keys
FOR EACH ROW WHEN (octet_length(NEW.wrapped) > 0) EXECUTE FUNCTION refuse_retired_kek()
"""


def upgrade() -> None:
    op.create_table(
        "retired_keks",
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column(
            "retired_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("destroyed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_retired_keks")),
    )
    op.execute(REFUSE_RETIRED)
    op.execute(REFUSE_RETIRED_TRIGGER)
    role = Settings.load().keeper_role
    keeper = role_name(op.get_bind(), role, "VOTEPYRAMID_KEEPER_ROLE")
    for statement in GRANTS:
        op.execute(statement.format(keeper=keeper))


def downgrade() -> None:
    role = op.get_bind().dialect.identifier_preparer.quote(Settings.load().keeper_role)
    for policy in ("keeper_reads", "keeper_rewraps"):
        op.execute(f"DROP POLICY {policy} ON wrapped_keys")
    op.execute("DROP TRIGGER refuse_retired_kek ON wrapped_keys")
    op.execute("DROP FUNCTION refuse_retired_kek()")
    op.drop_table("retired_keks")
    op.execute(f"REVOKE ALL ON alembic_version, wrapped_keys, audit_events FROM {role}")
