"""Calls to Temporal are measured in the process that makes them; failing ones, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.admin_ui.conftest import PASSPHRASE, add_person
from tests.observing.scraping import scrape
from tests.support.engines import Engine, Engines
from tests.support.faults import Wire
from tests.support.processes import (
    Running,
    eventually,
    start_admin,
    start_web,
    stopping,
)
from tests.support.voting import Door
from votepyramid.stack.ports import LOOPBACK, free_port

SECONDS = "votepyramid_temporal_request_seconds_count"
FAILURES = "votepyramid_temporal_request_failures_total"
PERSON = "operator"


@pytest.fixture(scope="module")
def engine(engines: Engines) -> Iterator[Engine]:
    with engines.running("calling") as made:
        add_person(made.database, PERSON, "operator")
        yield made


def told(address: str, name: str, **labels: str) -> bool:
    """The SDK's values come a second later."""
    return eventually(lambda: scrape(address).value(name, **labels) > 0, 30)


def at(engine: Engine, temporal: str, **more: str) -> dict[str, str]:
    """The environment of a process that has its Temporal there."""
    settings = {"temporal_address": temporal, **more}
    return {
        **engine.env,
        **{f"VOTEPYRAMID_{name.upper()}": value for name, value in settings.items()},
    }


def test_a_web_process(engine: Engine, tmp_path: Path) -> None:
    wire = Wire(engine.temporal.address)
    election = engine.make_election()
    starts = {"operation": "StartWorkflowExecution"}
    web = start_web(at(engine, wire.address), tmp_path)
    with stopping(web):
        address = web.url.removeprefix("http://")
        door = Door(web.url, election)
        first, second = door.ballot("v0"), door.ballot("v1")
        assert door.cast(first).status_code == 200
        assert told(address, SECONDS, **starts)
        wire.cut()
        assert door.cast(second).status_code == 503
        assert told(address, FAILURES, status="TRANSPORT_ERROR", **starts)


def test_a_web_process_without_a_connection(engine: Engine, tmp_path: Path) -> None:
    election = engine.make_election(id="unconnected")
    (near,) = engine.doors(election)
    ballot = near.ballot("v0")
    web = start_web(at(engine, f"{LOOPBACK}:{free_port()}"), tmp_path)
    with stopping(web):
        assert Door(web.url, election).cast(ballot).status_code == 503
        assert told(web.url.removeprefix("http://"), FAILURES, operation="Connect")


def look(admin: Running, cookie: str | None = None) -> str:
    """Somebody opens "Now", who signs in first; the cookie of the session."""
    with httpx2.Client(base_url=admin.url, headers={"Origin": admin.url}) as http:
        if cookie is None:
            form = {"name": PERSON, "passphrase": PASSPHRASE, "next": ""}
            answer = http.post("/sign-in", data=form)
            assert answer.status_code == 303
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
        answer = http.get("/", headers={"Cookie": cookie})
        assert answer.status_code == 200 and "The machinery" in answer.text
        return cookie


def test_the_administrators_pages(engine: Engine, tmp_path: Path) -> None:
    wire, listen = Wire(engine.temporal.address), f"{LOOPBACK}:{free_port()}"
    env = at(engine, wire.address, metrics_listen=listen)
    counts = {"operation": "CountWorkflowExecutions"}
    admin = start_admin(env, engine.database, tmp_path)
    with stopping(admin):
        cookie = look(admin)
        assert told(listen, SECONDS, **counts)
        wire.freeze()

        def missed(operation: str) -> bool:
            look(admin, cookie)
            return scrape(listen).value(FAILURES, operation=operation) > 0

        # What is known is shown first; then it is looked whether Temporal is there.
        assert eventually(lambda: missed("DescribeWorkflowExecution"), 60)
        wire.cut()
        assert eventually(lambda: missed("CountWorkflowExecutions"), 60)
