"""Who may do what in the database, and the triggers and policies that stand guard.

Asked of the catalogue as the owner. Whoever takes over a process has its role; what
that role may do beyond its need is what an attacker may do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, text

from votepyramid.doctor import expected, guards
from votepyramid.doctor.asking import Owner
from votepyramid.doctor.check import Check, Finding, Unchecked, listed, ok, wrong
from votepyramid.settings import Settings

SUBJECT = "rights"
PUBLIC = "PUBLIC"
_AS_MIGRATED = (
    "Find out who changed it. Then put it back as the migrations in alembic/versions "
    "have it."
)

_ROLES = text(
    "SELECT rolname, rolcanlogin, rolsuper OR rolcreaterole OR rolcreatedb "
    "OR rolreplication OR rolbypassrls, "
    "has_database_privilege(oid, current_database(), 'CONNECT'), "
    "has_schema_privilege(oid, 'public', 'USAGE'), "
    "has_schema_privilege(oid, 'public', 'CREATE'), "
    "EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid), "
    "EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid) "
    "FROM pg_roles r WHERE rolname = ANY(:names)"
)
# Of tables, views and sequences; of columns what is not granted on the whole table.
_GRANTS = text(
    "SELECT c.relname, a.grantee, a.privilege_type "
    "FROM pg_class c, aclexplode(c.relacl) a "
    "WHERE c.relnamespace = 'public'::regnamespace AND a.grantee <> c.relowner "
    "UNION ALL SELECT c.relname, a.grantee, "
    "a.privilege_type || ' (' || t.attname || ')' "
    "FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a "
    "WHERE c.relnamespace = 'public'::regnamespace AND a.grantee <> c.relowner"
)
_KNOWN = text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:names)")
_NAMES = text("SELECT oid, rolname FROM pg_roles")
_TRIGGERS = text(
    "SELECT c.relname, t.tgname, t.tgenabled::text FROM pg_trigger t "
    "JOIN pg_class c ON c.oid = t.tgrelid "
    "WHERE NOT t.tgisinternal AND c.relnamespace = 'public'::regnamespace"
)
_POLICIES = text(
    "SELECT tablename, policyname, roles::text[], cmd, qual, with_check, permissive "
    "FROM pg_policies WHERE schemaname = 'public'"
)
_SECURED = text(
    "SELECT relname FROM pg_class WHERE relrowsecurity "
    "AND relnamespace = 'public'::regnamespace"
)


def checks(settings: Settings, owner: Owner) -> list[Check]:
    """Those of the subject, in the order in which they are shown."""

    def check(
        name: str, look: Callable[[Connection, Settings], list[str]], well: str
    ) -> Check:
        return Check(name, SUBJECT, lambda: _look(owner, settings, look, well))

    return [
        check("roles", _roles, "each role can log in and is nothing special"),
        check("grants", _grants, "each role has exactly what it needs"),
        check("row-security", _policies, "every policy is as it was migrated"),
        check("triggers", _triggers, "every trigger is in place and enabled"),
    ]


def _look(
    owner: Owner,
    settings: Settings,
    look: Callable[[Connection, Settings], list[str]],
    well: str,
) -> Finding:
    with owner.connection() as connection:
        known = set(connection.scalars(_KNOWN, {"names": [*_names(settings).values()]}))
        if look is not _roles and known != set(_names(settings).values()):
            raise Unchecked("a role is missing: see roles")
        problems = look(connection, settings)
    return wrong(listed(problems), _AS_MIGRATED) if problems else ok(well)


def _names(settings: Settings) -> dict[str, str]:
    return {
        "application": settings.app_role,
        "sequencer": settings.sequencer_role,
        "keeper": settings.keeper_role,
        "administrators": settings.admin_role,
        "closer": settings.closer_role,
        "exporter": settings.exporter_role,
    }


def _roles(connection: Connection, settings: Settings) -> list[str]:
    wanted = sorted(set(_names(settings).values()))
    rows = {row[0]: row[1:] for row in connection.execute(_ROLES, {"names": wanted})}
    problems = [f"there is no role {name}" for name in wanted if name not in rows]
    for name, row in sorted(rows.items()):
        login, mighty, connects, uses, creates, member, owns = row
        said = {
            "may not log in": not login,
            "is a superuser or may make roles, databases or replicas, or passes row "
            "security": mighty,
            "may not connect to the database": not connects,
            "may not use the schema": not uses,
            "may make tables": creates,
            "is a member of another role": member,
            "owns a table": owns,
        }
        problems += [f"{name} {problem}" for problem, is_so in said.items() if is_so]
    return problems


def _grants(connection: Connection, settings: Settings) -> list[str]:
    names = {0: PUBLIC, **{row.oid: row.rolname for row in connection.execute(_NAMES)}}
    found: dict[str, set[str]] = {}
    for table, grantee, privilege in connection.execute(_GRANTS):
        # Readers of the operator's own, for reports, are the operator's to judge.
        found.setdefault(names.get(grantee, ""), set()).add(f"{privilege} on {table}")
    wanted: Mapping[str, Mapping[str, set[str]]] = {
        settings.app_role: expected.APPLICATION,
        settings.sequencer_role: expected.SEQUENCER,
        settings.keeper_role: expected.KEEPER,
        settings.admin_role: expected.ADMINISTRATORS,
        settings.closer_role: expected.CLOSER,
        settings.exporter_role: expected.EXPORTER,
        PUBLIC: {},
    }
    problems = []
    for role, tables in wanted.items():
        due = {f"{p} on {table}" for table, every in tables.items() for p in every}
        has = found.get(role, set())
        problems += [f"{role} lacks {one}" for one in sorted(due - has)]
        problems += [f"{role} has {one}, and should not" for one in sorted(has - due)]
    return problems


def _triggers(connection: Connection, settings: Settings) -> list[str]:
    found = {(row[0], row[1]): row[2] for row in connection.execute(_TRIGGERS)}
    problems = []
    for (table, name), always in guards.TRIGGERS.items():
        state = found.pop((table, name), None)
        if state is None:
            problems.append(f"{table} lacks the trigger {name}")
        elif state != ("A" if always else "O"):
            wanted = "ENABLE ALWAYS" if always else "ENABLE"
            problems.append(f"the trigger {name} of {table} is not on ({wanted})")
    guarded = {table for table, _ in guards.TRIGGERS}
    problems += [
        f"{table} has the trigger {name}, which no migration makes"
        for table, name in sorted(found)
        if table in guarded
    ]
    return problems


def _policies(connection: Connection, settings: Settings) -> list[str]:
    found: dict[tuple[str, str], Any] = {}
    for table, name, roles, *how, permissive in connection.execute(_POLICIES):
        whom = ",".join(roles) if permissive == "PERMISSIVE" else "RESTRICTIVE"
        found[(table, name)] = (whom, *how)
    secured = set(connection.scalars(_SECURED))
    tables = sorted({table for table, _ in guards.POLICIES})
    problems = [
        f"row security of {table} is off" for table in tables if table not in secured
    ]
    for (table, name), (role, *how) in guards.POLICIES.items():
        wanted = (role.format(**_names(settings)), *how)
        policy = found.pop((table, name), None)
        if policy is None:
            problems.append(f"{table} lacks the policy {name}")
        elif policy != wanted:
            problems.append(f"the policy {name} of {table} says something else")
    problems += [
        f"{table} has the policy {name}, which no migration makes"
        for table, name in sorted(found)
        if table in tables
    ]
    return problems
