"""What the role of the administrators' pages may do.

Revision: 0012
Follows: 0011

It keeps people, and sees how elections stand: counts, and where a vote is by its
receipt hash. No ballot, no token, no voter and no key.
"""

from __future__ import annotations

from alembic import op

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_READ = (
    "alembic_version, elections, roster_versions, log_heads, log_queue, audit_events, "
    "election_statements, archive_runs, vote_groups, "
    "people, people_sessions, people_setup"
)
_COLUMNS_READ = {
    "claim_refusals": "election, reason, count",
    "vote_tokens": "election, used, revoked_at, reuse_count, rejected_count",
    "vote_submissions": "election, receipt_hash, status, code",
    "wrapped_keys": "id, election, purpose, public, created_at",
}
# Ids and times of people are the database's to give.
_KEPT = {
    "people": "INSERT (name, roles), UPDATE (roles, password_hash, disabled_at, "
    "failed_count, locked_until)",
    "people_sessions": "INSERT (id, person, expires_at), "
    "UPDATE (seen_at, signed_in_at, revoked_at), DELETE",
    "people_setup": "INSERT (id, person, expires_at), UPDATE (used_at), DELETE",
    "audit_events": "INSERT (election, kind, subject, detail)",
}
_READS_KEYS = (
    "CREATE POLICY administrators_read ON wrapped_keys FOR SELECT TO {role} "
    "USING (true)"
)
# What a claim that stands still would mean takes a count of its voters' tokens, and not
# the column that joins voter and token.
TOKENS_ISSUED = """
CREATE FUNCTION tokens_issued(of_election text, refs uuid[]) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT count(DISTINCT "user") FROM vote_tokens
  WHERE election = of_election AND "user" = ANY (refs) AND revoked_at IS NULL
$$
"""
GRANTS = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    f"GRANT SELECT ON {_READ} TO {{role}}",
    *(f"GRANT SELECT ({c}) ON {t} TO {{role}}" for t, c in _COLUMNS_READ.items()),
    *(f"GRANT {rights} ON {t} TO {{role}}" for t, rights in _KEPT.items()),
    _READS_KEYS,
    "REVOKE ALL ON FUNCTION tokens_issued FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION tokens_issued TO {role}",
)


def upgrade() -> None:
    name = Settings.load().admin_role
    role = role_name(op.get_bind(), name, "VOTEPYRAMID_ADMIN_ROLE")
    op.execute(TOKENS_ISSUED)
    for statement in GRANTS:
        op.execute(statement.format(role=role))


def downgrade() -> None:
    role = op.get_bind().dialect.identifier_preparer.quote(Settings.load().admin_role)
    op.execute("DROP FUNCTION tokens_issued")
    op.execute("DROP POLICY administrators_read ON wrapped_keys")
    tables = ", ".join([_READ, *_COLUMNS_READ])
    op.execute(f"REVOKE ALL ON {tables} FROM {role}")
    op.execute(f"REVOKE USAGE ON SCHEMA public FROM {role}")
