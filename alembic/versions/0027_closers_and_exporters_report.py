"""Workers that close elections and that export them say of themselves that they run.

Revision: 0027
Follows: 0026

Where one is asked for and none reports, the administrators' pages say so.
"""

from __future__ import annotations

from alembic import op

from votepyramid.settings import Settings
from votepyramid.stack.migrations import role_name

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

REPORTS = "INSERT (process, kind, host, pid, started_at, numbers), SELECT (at), DELETE"


def upgrade() -> None:
    for role in _roles():
        op.execute(f"GRANT {REPORTS} ON vitals TO {role}")


def downgrade() -> None:
    for role in _roles():
        op.execute(f"REVOKE ALL ON vitals FROM {role}")


def _roles() -> list[str]:
    settings = Settings.load()
    names = ("closer_role", "exporter_role")
    return [
        role_name(op.get_bind(), getattr(settings, name), f"VOTEPYRAMID_{name.upper()}")
        for name in names
    ]
