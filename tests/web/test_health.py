"""Readiness, with each part really away. On servers of its own, which it stops."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
import psycopg
import pytest
from temporalio.api.operatorservice.v1 import RemoveSearchAttributesRequest
from temporalio.client import Client

from tests.support import databases
from tests.support.databases import Database
from tests.support.processes import (
    Running,
    environment,
    eventually,
    start_web,
    start_worker,
    stopping,
)
from votepyramid.engine import preparation
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres
from votepyramid.web.health import KEPT_S, TIMEOUT_S

NAMES = [
    "postgres",
    "migrations",
    "listener",
    "temporal",
    "search_attributes",
    "worker",
    "gateway",
]
# A check has two seconds; the answer must not take much longer than one of them.
LONGEST_S = TIMEOUT_S + 1.5


@dataclass
class Parts:
    """Everything a process depends on, and a process for each question."""

    postgres: EmbeddedPostgres
    temporal: DevServer
    database: Database
    web: Running

    def ready(self, web: Running | None = None) -> dict[str, Any]:
        """The readiness document, having checked its form and the time it took."""
        # Findings are kept for a moment; these are to be of now.
        time.sleep(KEPT_S)
        began = time.monotonic()
        answer = httpx2.get(f"{(web or self.web).url}/health/ready", timeout=30)
        assert time.monotonic() - began < LONGEST_S
        document: dict[str, Any] = answer.json()
        assert [check["name"] for check in document["checks"]] == NAMES
        well = all(check["ok"] for check in document["checks"])
        assert answer.status_code == (200 if well else 503)
        assert document["status"] == ("ready" if well else "not ready")
        for check in document["checks"]:
            assert check["ok"] == ("problem" not in check)
            assert 0 <= check["ms"] <= TIMEOUT_S * 1000 + 500
        return document

    def problems(self, web: Running | None = None) -> dict[str, str]:
        return {
            check["name"]: check["problem"]
            for check in self.ready(web)["checks"]
            if not check["ok"]
        }

    def live(self) -> bool:
        return httpx2.get(f"{self.web.url}/health/live").status_code == 200

    def well_again(self) -> bool:
        return eventually(lambda: self.problems() == {}, 30)


@pytest.fixture(scope="module")
def parts(
    server_folder: Path, temporal_cli: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("health")
    postgres = EmbeddedPostgres(server_folder / "health-postgres")
    temporal = DevServer(
        temporal_cli, server_folder / "health-temporal", log=folder / "temporal.log"
    )
    try:
        postgres.start()
        temporal.start()
        databases.make_template(postgres)
        with databases.fresh(postgres) as database:
            env = environment(database, temporal, folder)
            worker = start_worker(env, temporal, folder, wait=False)
            web = start_web(env, folder, wait=False)
            with stopping(worker, web):
                worker.wait_ready()
                web.wait_ready()
                yield Parts(postgres, temporal, database, web)
    finally:
        temporal.stop()
        postgres.stop()


def test_everything_is_there(parts: Parts) -> None:
    assert parts.problems() == {}
    assert parts.live()


def test_another_schema(parts: Parts) -> None:
    with psycopg.connect(parts.database.owner_url, autocommit=True) as db:
        head = db.execute("SELECT version_num FROM alembic_version").fetchone()
        assert head is not None
        db.execute("UPDATE alembic_version SET version_num = 'older'")
        assert parts.problems() == {
            "migrations": f"schema is at older, this code needs {head[0]}"
        }
        db.execute("DELETE FROM alembic_version")
        assert "schema is at None" in parts.problems()["migrations"]
        db.execute("INSERT INTO alembic_version VALUES (%s)", head)
    assert parts.problems() == {}


def test_postgres_is_away(parts: Parts) -> None:
    parts.postgres.stop()
    try:
        problems = parts.problems()
        assert set(problems) == {"postgres", "migrations", "listener"}
        assert problems["postgres"].startswith("not reached")
        assert parts.live()
    finally:
        parts.postgres.start()
    assert parts.well_again()


def test_the_listen_connection_is_lost(parts: Parts) -> None:
    """Lost with everything else alive; it comes back by itself."""
    url = parts.postgres.url("postgres", parts.database.name)
    drop = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'votepyramid-listen'"
    )
    with psycopg.connect(url, autocommit=True) as db:
        assert db.execute(drop).fetchall()
    assert parts.well_again()
    parts.web.wait_for_log('"event": "listen_lost"')


def test_temporal_is_away(parts: Parts) -> None:
    parts.temporal.stop()
    try:
        assert set(parts.problems()) == {"temporal", "search_attributes", "worker"}
        assert parts.live()
    finally:
        parts.temporal.start()
    assert parts.well_again()


def test_temporal_hangs(parts: Parts) -> None:
    """Silence is worse than refusal: it must not become ours."""
    process = psutil.Process(parts.temporal.pid)
    process.send_signal(signal.SIGSTOP)
    try:
        problems = parts.problems()
        assert set(problems) == {"temporal", "search_attributes", "worker"}
        assert parts.live()
    finally:
        process.send_signal(signal.SIGCONT)
    assert parts.well_again()


async def _remove_search_attribute(address: str) -> None:
    client = await Client.connect(address)
    await client.operator_service.remove_search_attributes(
        RemoveSearchAttributesRequest(
            namespace="default", search_attributes=["NeedsAttention"]
        )
    )


async def _prepare(address: str) -> None:
    await preparation.prepare(await Client.connect(address))


def test_a_search_attribute_is_missing(parts: Parts) -> None:
    asyncio.run(_remove_search_attribute(parts.temporal.address))
    try:
        assert eventually(lambda: parts.problems() != {}, 30)
        assert parts.problems() == {
            "search_attributes": "not registered: NeedsAttention"
        }
    finally:
        asyncio.run(_prepare(parts.temporal.address))
    assert parts.well_again()


def test_no_worker_ever_came(parts: Parts, tmp_path: Path) -> None:
    env = environment(parts.database, parts.temporal, tmp_path)
    lonely = start_web(env, tmp_path)
    with stopping(lonely):
        queue = env["VOTEPYRAMID_VOTE_TASK_QUEUE"]
        assert parts.problems(lonely) == {"worker": f"no worker polls {queue}"}
