"""One place for how we talk to Postgres: metadata, engines, timeouts, fault classes.

Every connection runs READ COMMITTED in UTC with a statement and a lock timeout
below every Temporal start-to-close timeout, so that an attempt Temporal has given
up on cannot go on writing behind its successor's back.
"""

from __future__ import annotations

from typing import Any

import psycopg.errors as pg
from sqlalchemy import MetaData, create_engine
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase

STATEMENT_TIMEOUT_MS = 5_000
LOCK_TIMEOUT_MS = 4_000
CONNECT_TIMEOUT_S = 3


class Base(DeclarativeBase):
    """Declarative base; the naming convention keeps migrations able to name things."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def make_engine(
    url: str,
    *,
    pool_size: int = 8,
    application_name: str = "votepyramid",
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
) -> Engine:
    """An engine on psycopg 3 with our timeouts; the pool never queues for long.

    `pool_timeout` is short on purpose: a caller that cannot get a connection must
    answer 503 while the client is still listening.
    """
    return create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=2,
        # pre_ping costs a round trip a checkout; a stale connection after a
        # database restart surfaces as a fault and is retried instead.
        pool_pre_ping=False,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": application_name,
            "options": (
                f"-c statement_timeout={statement_timeout_ms} "
                f"-c lock_timeout={min(LOCK_TIMEOUT_MS, statement_timeout_ms)} "
                "-c timezone=UTC"
            ),
        },
    )


def listen_dsn(url: str) -> str:
    """The libpq form of an SQLAlchemy URL, for connections outside the pool."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


# SQLSTATE classes that say "this part is unwell", not "this row is bad":
# connection, insufficient resources, operator intervention, system error, and
# the transaction rollbacks that a retry cures.
_FAULT_CLASSES = ("08", "40", "53", "55", "57", "58", "25", "28", "3D")


def is_fault(error: BaseException) -> bool:
    """True when the database (or the way to it) failed; False when a row did."""
    if not isinstance(error, DBAPIError):
        # SQLAlchemy's own pool timeout, socket errors and the like.
        return True
    if error.connection_invalidated:
        return True
    cause: Any = error.orig
    state = getattr(cause, "sqlstate", None)
    if state is None:
        return True
    # A cancelled statement is a fault of time, but a bad row can cause none.
    return isinstance(cause, pg.QueryCanceled) or state[:2] in _FAULT_CLASSES
