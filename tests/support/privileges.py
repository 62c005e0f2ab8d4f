"""What a database role is granted, asked as that role."""

from __future__ import annotations

from typing import Any

import psycopg

_WHOLE = """
SELECT table_name, privilege_type FROM information_schema.table_privileges
WHERE grantee = current_user AND table_schema = 'public'
"""
_COLUMNS = """
SELECT c.table_name, c.privilege_type || ' (' || c.column_name || ')'
FROM information_schema.column_privileges c
WHERE c.grantee = current_user AND c.table_schema = 'public' AND NOT EXISTS (
  SELECT 1 FROM information_schema.table_privileges t
  WHERE t.grantee = c.grantee AND t.table_schema = c.table_schema
  AND t.table_name = c.table_name AND t.privilege_type = c.privilege_type)
"""


def privileges(db: psycopg.Connection[Any]) -> dict[str, set[str]]:
    """By table: "SELECT", or "SELECT (column)" where not the whole table is meant."""
    found: dict[str, set[str]] = {}
    for query in (_WHOLE, _COLUMNS):
        for table, privilege in db.execute(query).fetchall():
            found.setdefault(table, set()).add(privilege)
    return found


def is_ordinary(db: psycopg.Connection[Any]) -> bool:
    """Whether the role has no attribute, is in no other role, and owns nothing."""
    special = db.execute(
        "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication "
        "OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    member = db.execute(
        "SELECT count(*) FROM pg_auth_members m "
        "JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = current_user"
    ).fetchone()
    owned = db.execute(
        "SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner "
        "WHERE r.rolname = current_user"
    ).fetchone()
    return (special, member, owned) == ((False,), (0,), (0,))
