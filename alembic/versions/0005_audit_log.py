"""The log of audit events, and that neither events nor entries ever change.

Revision: 0005
Follows: 0004

The database itself queues every event for the log, in the event's transaction, and
writes the event of every key that is stored. It takes in only what can be an entry, so
that nobody who may add events can stop the log. Triggers refuse changes to everybody,
also in sessions that turn ordinary triggers off; who may alter tables can drop them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from votepyramid.settings import Settings

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# The bounds of an entry's fields (protocol/auditevent.py). A regular expression of
# Postgres repeats 255 times at most.
_PLAIN = r"[^\u0001-\u001f\u007f-\u009f]{0,128}"
_MEMBER = (
    '@.type() == "boolean"'
    f' || (@.type() == "string" && @ like_regex "^{_PLAIN}{_PLAIN}$")'
    ' || (@.type() == "number" && @ >= 0 && @ < 9007199254740992 && @ == @.floor())'
)
_NAME = '@.key like_regex "^[a-z][a-z0-9_]{0,62}$"'
CHECKS = {
    "election": "election ~ '^[a-z0-9._-]{1,64}$'",
    "kind": "kind ~ '^[a-z][a-z0-9_]{0,62}$'",
    "subject": "subject ~ '^[!-~]{1,128}$'",
    "detail": "jsonb_typeof(detail) = 'object' "
    "AND jsonb_array_length(jsonb_path_query_array(detail, 'strict $.*')) <= 8 "
    f"AND NOT jsonb_path_exists(detail, 'strict $.keyvalue() ? (!({_NAME}))') "
    f"AND NOT jsonb_path_exists(detail, 'strict $.* ? (!({_MEMBER}))')",
}

# As the owner: whoever inserts an event needs no right to the queue. In the order of
# random numbers, so that an entry's place in its batch tells nothing.
QUEUE = """
CREATE FUNCTION queue_audit_events() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO log_queue (election, kind, sort, subject)
    SELECT election, 'audit', uuid_send(nonce), id::text FROM added;
  RETURN NULL;
END $$
"""
QUEUE_TRIGGER = """
CREATE TRIGGER queue_audit_events AFTER INSERT ON audit_events
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION queue_audit_events()
"""
# What happened before there was a log.
BACKLOG = """
INSERT INTO log_queue (election, kind, sort, subject)
SELECT election, 'audit', uuid_send(nonce), id::text FROM audit_events
"""
KEY_MADE = """
CREATE FUNCTION key_made() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  INSERT INTO audit_events (election, kind, subject, detail)
    SELECT election, 'key_made', id::text, jsonb_build_object('purpose', purpose)
    FROM added;
  RETURN NULL;
END $$
"""
KEY_MADE_TRIGGER = """
CREATE TRIGGER key_made AFTER INSERT ON wrapped_keys
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION key_made()
"""
APPEND_ONLY = """
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation';
END $$
"""
# ALWAYS: also where session_replication_role turns ordinary triggers off.
APPEND_ONLY_TRIGGERS = (
    (
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION append_only()"
    ),
    (
        "CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
    ),
    (
        "ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only, "
        "ENABLE ALWAYS TRIGGER append_only_whole"
    ),
)
APPEND_ONLY_TABLES = ("audit_events", "log_entries")
# Of the audit log the application sees the head alone: its entries hold pseudonyms,
# and who could read them all would know more than who may only add one.
_PUBLIC_TABLES = ("log_entries", "log_tiles")
_PUBLIC = (
    "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY sequencer ON {table} TO {sequencer} USING (true)",
    (
        "CREATE POLICY all_but_events ON {table} FOR SELECT TO {application} "
        "USING (kind <> 'audit')"
    ),
)
GRANTS = (
    # Number, id and time are the database's to give.
    "REVOKE INSERT ON audit_events FROM {application}",
    "GRANT INSERT (election, kind, subject, detail) ON audit_events TO {application}",
    "GRANT SELECT ON audit_events TO {sequencer}",
)


def upgrade() -> None:
    # A table of many events is written anew.
    op.execute("SET LOCAL statement_timeout = '10min'")
    op.add_column(
        "audit_events",
        sa.Column(
            "nonce",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
    )
    for name, condition in CHECKS.items():
        op.create_check_constraint(
            op.f(f"ck_audit_events_{name}"), "audit_events", condition
        )
    op.execute(BACKLOG)
    for statement in (QUEUE, QUEUE_TRIGGER, KEY_MADE, KEY_MADE_TRIGGER, APPEND_ONLY):
        op.execute(statement)
    for table in APPEND_ONLY_TABLES:
        for statement in APPEND_ONLY_TRIGGERS:
            op.execute(statement.format(table=table))
    names = _names()
    for table in _PUBLIC_TABLES:
        for statement in _PUBLIC:
            op.execute(statement.format(table=table, **names))
    for statement in GRANTS:
        op.execute(statement.format(**names))


def _names() -> dict[str, str]:
    settings = Settings.load()
    quote = op.get_bind().dialect.identifier_preparer.quote
    return {
        "sequencer": quote(settings.sequencer_role),
        "application": quote(settings.app_role),
    }


def downgrade() -> None:
    names = _names()
    op.execute("REVOKE SELECT ON audit_events FROM {sequencer}".format(**names))
    op.execute(
        "REVOKE INSERT (election, kind, subject, detail) ON audit_events "
        "FROM {application}".format(**names)
    )
    op.execute("GRANT INSERT ON audit_events TO {application}".format(**names))
    for table in _PUBLIC_TABLES:
        op.execute(f"DROP POLICY all_but_events ON {table}")
        op.execute(f"DROP POLICY sequencer ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    for table in APPEND_ONLY_TABLES:
        op.execute(f"DROP TRIGGER append_only ON {table}")
        op.execute(f"DROP TRIGGER append_only_whole ON {table}")
    op.execute("DROP FUNCTION append_only()")
    op.execute("DROP TRIGGER key_made ON wrapped_keys")
    op.execute("DROP FUNCTION key_made()")
    op.execute("DROP TRIGGER queue_audit_events ON audit_events")
    op.execute("DROP FUNCTION queue_audit_events()")
    # The events are all still there. Where an audit log was published, its kept
    # checkpoint will not let another begin.
    for table in ("log_queue", "log_tiles", "log_entries", "log_heads"):
        op.execute(f"DELETE FROM {table} WHERE kind = 'audit'")
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_audit_events_{name}"), "audit_events")
    op.drop_column("audit_events", "nonce")
