"""Runs migrations as the owner role: one transaction each, short lock waits.

An advisory lock keeps two deployers from migrating at once; a migration that
cannot get its locks quickly gives up instead of queueing every vote behind it.
"""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import text

# Imported for their tables.
from votepyramid.audit import models as _audit  # noqa: F401
from votepyramid.custody import models as _custody  # noqa: F401
from votepyramid.db import Base, make_engine
from votepyramid.elections import models as _elections  # noqa: F401
from votepyramid.eligibility import models as _eligibility  # noqa: F401
from votepyramid.keys import models as _keys  # noqa: F401
from votepyramid.logs import models as _logs  # noqa: F401
from votepyramid.people import models as _people  # noqa: F401
from votepyramid.settings import Settings
from votepyramid.tokens import models as _tokens  # noqa: F401
from votepyramid.vitals import models as _vitals  # noqa: F401
from votepyramid.votes import models as _votes  # noqa: F401

MIGRATION_LOCK = 0x766F7465  # "vote"


def run() -> None:
    url = context.config.attributes.get("url") or Settings.load().require(
        "owner_database_url"
    )
    engine = make_engine(
        url,
        pool_size=1,
        application_name="votepyramid-migrate",
        lock_timeout_ms=4_000,
    )
    with engine.connect() as connection:
        connection.execute(
            text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK}
        )
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            transaction_per_migration=True,
            compare_type=True,
        )
        context.run_migrations()
        connection.execute(
            text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK}
        )
        connection.commit()
    engine.dispose()


if context.is_offline_mode():
    raise SystemExit(
        f"Offline SQL is not supported; run against a database (pid {os.getpid()})."
    )
run()
