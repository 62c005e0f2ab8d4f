"""Postgres hangs instead of refusing: no page waits for long, each says what it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from admin_ui.commands import THREADS
from admin_ui.rendering import asset
from admin_ui.services import SILENT_S
from tests.admin_ui.browsing import Browsing
from tests.admin_ui.test_night import Night, watching
from tests.support import databases
from tests.support.engines import running
from tests.support.faults import hanging
from tests.support.needs import needs
from tests.support.processes import eventually
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres

pytestmark = [needs("chromium"), pytest.mark.timeout(240)]

SAYS = "Postgres does not answer"
# What asks Postgres nothing is there while others wait, on a machine that is busy.
AT_ONCE_S = 2.0
# Twice as many as there are threads: these wait for the first, who waited for Postgres.
CROWD = 2 * THREADS
CROWDED_S = 2 * SILENT_S + 4
UNASKED = (
    "/manual/runbook",
    "/manual/runbook/votepyramiddatabasefails",
    "/manual/nothing",
    asset("admin.css"),
    "/static/nothing",
    "/health/live",
)


@contextmanager
def signed_in(night: Night) -> Iterator[httpx2.Client]:
    """Another client of the person on duty."""
    cookies = {
        str(one["name"]): str(one["value"])
        for one in night.watch.visitor.page.context.cookies()
    }
    with httpx2.Client(
        base_url=night.admin.url,
        cookies=cookies,
        headers={"Origin": night.admin.url},
        timeout=60,
        limits=httpx2.Limits(max_connections=2 * CROWD),
    ) as client:
        assert client.get("/elections").status_code == 200
        yield client


def is_told(client: httpx2.Client) -> None:
    """Who asks is told, whether they look or act."""
    looked, acted = client.get("/elections"), client.post("/sign-out")
    for answer in (looked, acted):
        assert answer.status_code == 503 and SAYS in answer.text
    assert "may have been done" in acted.text
    assert "may have been done" not in looked.text


def many_wait(client: httpx2.Client) -> None:
    """More than there are threads: all are told, and what asks nothing is there."""
    with ThreadPoolExecutor(CROWD) as crowd:
        began = time.monotonic()
        few = [crowd.submit(client.get, "/") for _ in range(THREADS // 2)]
        for path in UNASKED:
            asked = time.monotonic()
            answer = client.get(path)
            took = time.monotonic() - asked
            assert answer.status_code == (404 if "nothing" in path else 200), path
            assert took < AT_ONCE_S, (path, took)
        many = [crowd.submit(client.get, "/") for _ in range(CROWD - len(few))]
        assert {one.result().status_code for one in (*few, *many)} == {503}
        assert time.monotonic() - began < CROWDED_S


def test_postgres_hanging(
    own_postgres: EmbeddedPostgres,
    temporal: DevServer,
    browsing: Browsing,
    tmp_path: Path,
) -> None:
    with (
        databases.fresh(own_postgres) as database,
        running(database, temporal, tmp_path) as engine,
        watching(engine, browsing, tmp_path) as night,
        signed_in(night) as client,
    ):
        watch, door = night.watch, night.door()
        ballot = door.ballot("v0")
        stale = watch.visitor.page.locator("#stale")
        with hanging(own_postgres):
            many_wait(client)
            watch.sees(f"{SAYS}. Votes wait")
            # It is no fault of the page's own process.
            assert not stale.is_visible()
            is_told(client)
            watch.what_to_do(SAYS, "VotepyramidDatabaseFails")
            assert watch.visitor.violations() == []
        watch.back()
        watch.well_again("Postgres hangs")
        assert door.insist(ballot)
        night.admin.kill()
        assert eventually(stale.is_visible, 20)
        assert "is gone" in stale.inner_text()
        assert "in time" not in stale.inner_text()
