"""How busy a process's database connections are, and how long one is waited for."""

from __future__ import annotations

import logging
import time
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy import Engine, QueuePool, event
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection

_POOL = ["pool"]
USED = Gauge(
    "votepyramid_database_connections_used",
    "Connections of the pool in use",
    _POOL,
    multiprocess_mode="livesum",
)
LIMIT = Gauge(
    "votepyramid_database_connections_limit",
    "Connections that the pool may have",
    _POOL,
    multiprocess_mode="livesum",
)
WAIT = Histogram(
    "votepyramid_database_connection_wait_seconds",
    "Until a connection was had, made anew or from the pool",
    _POOL,
    buckets=(0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 5),
)
FAILURES = Counter(
    "votepyramid_database_connection_failures_total",
    "Connections that were not had: none was free in time, or the database is away",
    ["pool", "problem"],
)
_COUNTED = "votepyramid_counted"
# A pool's logger is named by its class, and would no longer be under SQLAlchemy's.
logging.getLogger(__name__).setLevel(logging.WARNING)


class MeasuredPool(QueuePool):
    """SQLAlchemy's pool, which notes how long each caller waited."""

    def connect(self) -> PoolProxiedConnection:
        began = time.perf_counter()
        try:
            return super().connect()
        except Exception as error:
            problem = "none free" if isinstance(error, PoolTimeout) else "refused"
            FAILURES.labels(self.logging_name, problem).inc()
            raise
        finally:
            WAIT.labels(self.logging_name).observe(time.perf_counter() - began)


def measure(engine: Engine, size: int) -> None:
    """Show the engine's connections in use under its pool's name."""
    pool = engine.pool
    used = USED.labels(pool.logging_name)
    LIMIT.labels(pool.logging_name).set(size)

    def taken(_connection: Any, record: Any, _proxy: Any) -> None:
        record.record_info[_COUNTED] = True
        used.inc()

    def given_back(_connection: Any, record: Any) -> None:
        # Also told of connections that could not be made.
        if record.record_info.pop(_COUNTED, False):
            used.dec()

    event.listen(engine, "checkout", taken)
    event.listen(engine, "checkin", given_back)
