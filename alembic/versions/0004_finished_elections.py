"""Elections that are finished: nothing more is issued or recorded in them.

Revision: 0004
Follows: 0003

The database itself sees to it. `election finish` holds the election's row alone while
it counts; whoever issues, records or promises takes a share of the row and looks again.
So a step that waited meanwhile, or read "closed" just before, is rolled back. It fails
as a serialization failure: done again, it sees that the election is finished.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from votepyramid.settings import Settings

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATUS = "status IN ('created', 'open', 'closed', 'finished', 'unlinked')"
_OLD_STATUS = "status IN ('created', 'open', 'closed', 'unlinked')"

# As the owner: whoever votes needs no right to lock an election.
_CHECK = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE over boolean;
BEGIN
  SELECT bool_or(held.status IN ('finished', 'unlinked')) INTO over FROM (
    SELECT status FROM elections WHERE id IN ({elections}) FOR KEY SHARE
  ) AS held;
  IF over THEN
    RAISE EXCEPTION 'the election is finished' USING ERRCODE = '40001';
  END IF;
  RETURN NULL;
END $$
"""
ADDED = _CHECK.format(
    name="refuse_rows_when_finished", elections="SELECT election FROM added"
)
PROMISED = _CHECK.format(name="refuse_row_when_finished", elections="NEW.election")
_ADDED_TRIGGER = """
CREATE TRIGGER refuse_when_finished AFTER INSERT ON {table}
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION refuse_rows_when_finished()
"""
# A vote that a workflow holds from now on: its voter may be promised an answer.
_HELD = "NEW.outcome IS NULL AND cardinality(NEW.held_by) > "
PROMISED_TRIGGERS = (
    f"""
CREATE TRIGGER refuse_when_finished AFTER INSERT ON vote_groups FOR EACH ROW
WHEN ({_HELD} 0) EXECUTE FUNCTION refuse_row_when_finished()
""",
    f"""
CREATE TRIGGER refuse_again_when_finished AFTER UPDATE ON vote_groups FOR EACH ROW
WHEN ({_HELD}
  CASE WHEN OLD.outcome IS NULL THEN cardinality(OLD.held_by) ELSE 0 END)
EXECUTE FUNCTION refuse_row_when_finished()
""",
)
FIXED = """
CREATE FUNCTION statement_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'what was stated stays' USING ERRCODE = 'check_violation';
END $$
"""
FIXED_TRIGGER = """
CREATE TRIGGER statement_stays BEFORE UPDATE OR DELETE OR TRUNCATE
ON election_statements FOR EACH STATEMENT EXECUTE FUNCTION statement_stays()
"""


def upgrade() -> None:
    _status(_STATUS)
    op.create_table(
        "election_statements",
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        *_keys("election_statements", "kind"),
    )
    op.create_table(
        "closing_tags",
        sa.Column("election", sa.Text(), nullable=False),
        sa.Column("index", sa.BigInteger(), nullable=False),
        sa.Column("first", sa.LargeBinary(), nullable=False),
        sa.Column("tags", sa.LargeBinary(), nullable=False),
        *_keys("closing_tags", "index"),
    )
    op.create_index("ix_closing_tags_first", "closing_tags", ["election", "first"])
    for statement in (FIXED, FIXED_TRIGGER, ADDED, PROMISED, *PROMISED_TRIGGERS):
        op.execute(statement)
    for table in ("vote_submissions", "vote_tokens"):
        op.execute(_ADDED_TRIGGER.format(table=table))
    quote = op.get_bind().dialect.identifier_preparer.quote
    role = quote(Settings.load().app_role)
    op.execute(f"GRANT SELECT ON election_statements, closing_tags TO {role}")


def _keys(table: str, second: str) -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint("election", second, name=op.f(f"pk_{table}")),
        sa.ForeignKeyConstraint(
            ["election"], ["elections.id"], name=op.f(f"fk_{table}_election_elections")
        ),
    ]


def _status(allowed: str) -> None:
    op.drop_constraint(op.f("ck_elections_status"), "elections")
    op.create_check_constraint(op.f("ck_elections_status"), "elections", allowed)


def downgrade() -> None:
    for table in ("vote_submissions", "vote_tokens", "vote_groups"):
        op.execute(f"DROP TRIGGER refuse_when_finished ON {table}")
    op.execute("DROP TRIGGER refuse_again_when_finished ON vote_groups")
    for function in ("refuse_rows_when_finished", "refuse_row_when_finished"):
        op.execute(f"DROP FUNCTION {function}()")
    op.drop_table("closing_tags")
    op.drop_table("election_statements")
    op.execute("DROP FUNCTION statement_stays()")
    op.execute("DELETE FROM log_tiles WHERE kind = 'tags'")
    op.execute("UPDATE elections SET status = 'closed' WHERE status = 'finished'")
    _status(_OLD_STATUS)
