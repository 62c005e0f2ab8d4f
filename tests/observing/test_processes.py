"""Every process can be scraped, and says what it alone knows."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.codec_server import desk as codec
from tests.house import tables
from tests.observing.scraping import Scrape, scrape
from tests.support import sequencing
from tests.support.elections import MadeElection
from tests.support.engines import Engine, Engines
from tests.support.faults import Console, poisoned
from tests.support.processes import eventually, start_admin, start_worker, stopping
from tests.support.stacks import VOTEPYRAMID
from tests.support.voting import Door
from votepyramid.audit.operators import acting_as
from votepyramid.elections import closing
from votepyramid.engine.control import Desk
from votepyramid.stack.ports import LOOPBACK, free_port


def somewhere() -> str:
    return f"{LOOPBACK}:{free_port()}"


@dataclass(frozen=True)
class Site:
    engine: Engine
    election: MadeElection
    worker: str

    @property
    def door(self) -> Door:
        return self.engine.doors(self.election)[0]

    @property
    def web(self) -> str:
        return self.engine.web.url.removeprefix("http://")


@pytest.fixture(scope="module")
def site(engines: Engines) -> Iterator[Site]:
    listen = somewhere()
    with engines.running("observing", metrics_listen=listen) as engine:
        election = engine.make_election(voters=12)
        yield Site(engine, election, listen)


def told(address: str, name: str, at_least: float, **labels: str) -> Scrape:
    """A scrape in which that value is reached; the SDK's come a second later."""
    found = scrape(address)

    def reached() -> bool:
        nonlocal found
        found = scrape(address)
        return found.value(name, **labels) >= at_least

    assert eventually(reached, 15), (name, labels, sorted(map(str, found.samples)))
    return found


def test_a_vote_through_web_and_worker(site: Site) -> None:
    door = site.door
    before = scrape(site.worker)
    ballot = door.ballot("v1")
    assert door.cast(ballot).status_code == 200
    assert (
        door.http.get(door.path(f"receipt/{ballot.receipt_hash}/")).status_code == 200
    )
    assert door.http.get(door.path(f"receipt/{'0' * 64}/")).status_code == 404
    seconds = "votepyramid_workflow_seconds_count"
    for workflow in ("claim_tokens", "submit_votes"):
        told(
            site.worker,
            seconds,
            before.value(seconds, workflow=workflow) + 1,
            workflow=workflow,
        )
    worker, web = scrape(site.worker), scrape(site.web)
    for step in (
        "check_eligibility",
        "encrypt_ballots",
        "record_votes",
        "issue_tokens",
    ):
        assert (
            worker.value("votepyramid_step_seconds_count", step=step, how="local") >= 1
        )
    assert worker.value("votepyramid_votes_decided_total", outcome="accepted") == 1
    assert worker.value("votepyramid_claims_decided_total", outcome="issued") == 1
    assert worker.value("votepyramid_workflows_ended_total", outcome="completed") >= 2
    assert worker.value("votepyramid_kms_call_seconds_count", provider="file") >= 2
    assert worker.value("votepyramid_temporal_request_seconds_count") > 0
    assert worker.value("votepyramid_worker_slots_free") > 0
    assert worker.value("votepyramid_processes_running", process="worker") == 1
    assert web.value("votepyramid_processes_running", process="web") == 1
    assert web.value("votepyramid_gateway_listening") == 1
    assert web.value("votepyramid_receipts_asked_total", answer="recorded") == 1
    assert web.value("votepyramid_receipts_asked_total", answer="unknown") == 1
    assert web.value("votepyramid_gateway_callers_items") == 0
    assert web.value("votepyramid_gateway_callers_limit_items") == 120
    for pool, scraped in (("votepyramid-web", web), ("votepyramid-worker", worker)):
        waited = "votepyramid_database_connection_wait_seconds_count"
        assert scraped.value(waited, pool=pool) > 0
        assert scraped.value("votepyramid_database_connections_used", pool=pool) == 0
        assert scraped.value("votepyramid_database_connections_limit", pool=pool) >= 16


def test_only_a_worker_looks_whether_histories_are_archived(site: Site) -> None:
    looked = "votepyramid_histories_looked_at_timestamp_seconds"
    began = psutil.Process(site.engine.worker.pid).create_time()
    assert told(site.worker, looked, began - 1).value(looked) <= time.time()
    assert scrape(site.web).value(looked) == 0


def stick(site: Site, voter: str) -> Scrape:
    """A vote that the database refuses a few times; what the worker says then."""
    ballot = site.door.ballot(voter)
    repeats = "votepyramid_step_repeats_total"
    of_votes = {"step": "record_votes", "how": "regular"}
    before = scrape(site.worker).value(repeats, **of_votes)
    with poisoned(
        site.election, "vote_submissions", "receipt_hash", ballot.receipt_hash
    ):
        assert site.door.cast(ballot).status_code == 202
        return told(site.worker, repeats, before + 2, **of_votes)


def test_a_stuck_vote_shows(site: Site) -> None:
    found = stick(site, "v2")
    failures = "votepyramid_step_failures_total"
    assert found.value(failures, step="record_votes", problem="database") >= 2
    assert found.value("votepyramid_votes_decided_total", outcome="isolated") == 1
    console = Console(site.engine.env)
    assert eventually(lambda: console.needing_attention() == [], 20)


def test_work_that_no_worker_takes_shows(site: Site) -> None:
    untaken = "votepyramid_workflows_untaken_queues"
    assert told(site.worker, "votepyramid_workflows_counted_timestamp_seconds", 1)
    assert scrape(site.worker).value(untaken) == 0
    # Of a name of its own: Temporal has others' closings.
    election = site.engine.make_election(id=f"untaken-{secrets.token_hex(4)}")
    owner, desk = acting_as(election.engine, "ada"), Desk(site.engine.settings)
    closing.start_or_join(owner, desk, election.id)
    assert eventually(lambda: scrape(site.worker).value(untaken) == 1, 100)
    desk.ask(
        lambda client: client.get_workflow_handle(f"close/{election.id}").terminate()
    )


def test_what_is_over_a_limit(site: Site) -> None:
    slow = {"claims_per_voter_per_minute": 3}
    election = site.engine.make_election(id="limited", voters=1, rate=slow)
    (door,) = site.engine.doors(election)
    # Within two windows of a minute at most.
    statuses = [door.claim("v0").status_code for _ in range(8)]
    assert 429 in statuses
    refused = scrape(site.web).value(
        "votepyramid_limits_refused_total", limit="claim_rate"
    )
    assert refused == statuses.count(429)


def test_the_sequencer(site: Site, tmp_path: Path) -> None:
    assert site.door.cast(site.door.ballot("v4")).status_code == 200
    first, second = somewhere(), somewhere()
    folder = site.engine.folder / "checkpoints"
    one = sequencing.start(
        site.engine, folder, tmp_path / "one.log", metrics_listen=first
    )
    two = None
    try:
        one.wait_for_log('"sequencing"')
        named = {"election": site.election.id, "kind": "receipts"}
        found = told(first, "votepyramid_log_size_items", 1, **named)
        assert found.value("votepyramid_log_sequencing") == 1
        assert found.value("votepyramid_processes_running", process="sequencer") == 1
        assert found.value("votepyramid_log_batch_seconds_count") >= 1
        assert found.value("votepyramid_kms_call_seconds_count", call="unwrap") >= 1
        # Nothing waits any more: what was shown before must not stay.
        assert eventually(
            lambda: scrape(first).value("votepyramid_log_waiting_items") == 0
        )
        assert scrape(first).value("votepyramid_log_lag_seconds") == 0
        two = sequencing.start(
            site.engine, folder, tmp_path / "two.log", metrics_listen=second
        )
        assert eventually(lambda: _answers(second), 20)
        assert scrape(second).value("votepyramid_log_sequencing") == 0
        assert one.terminate() == 0
        told(second, "votepyramid_log_sequencing", 1)
    finally:
        with stopping(one, *([two] if two else [])):
            pass


def _answers(address: str) -> bool:
    try:
        return bool(scrape(address).samples)
    except httpx2.TransportError:
        return False


def test_the_codec_server(site: Site, tmp_path: Path) -> None:
    listen = somewhere()
    env = {**site.engine.env, "VOTEPYRAMID_METRICS_LISTEN": listen}
    server = codec.start(env, tmp_path, "codec-server")
    with stopping(server):
        found = scrape(listen)
        assert found.value("votepyramid_processes_running", process="codec-server") == 1
        requests = "votepyramid_http_requests_total"
        assert found.value(requests, route="health.live", status="200") >= 1
        # Its own door, which browsers reach, does not show it.
        assert httpx2.get(f"{server.url}/metrics").status_code == 404


def test_a_worker_that_takes_no_votes_is_told_apart(site: Site, tmp_path: Path) -> None:
    listen, database = somewhere(), site.engine.database
    ours = {"METRICS_LISTEN": listen, "DATABASE_URL": database.keeper_url}
    env = {**site.engine.env, **{f"VOTEPYRAMID_{k}": v for k, v in ours.items()}}
    worker = start_worker(env, site.engine.temporal, tmp_path, roles="keys")
    with stopping(worker):
        found = scrape(listen)
    assert found.value("votepyramid_processes_running", process="keys-worker") == 1
    assert found.value("votepyramid_processes_running", process="worker") == 0


def test_the_administrators_pages(site: Site, tmp_path: Path) -> None:
    listen = somewhere()
    env = {**site.engine.env, "VOTEPYRAMID_METRICS_LISTEN": listen}
    with stopping(start_admin(env, site.engine.database, tmp_path)):
        found = scrape(listen)
        assert found.value("votepyramid_processes_running", process="admin") == 1
        requests = "votepyramid_http_requests_total"
        assert found.value(requests, route="health.live", status="200") >= 1


def test_what_the_documents_name_is_exposed(site: Site, tmp_path: Path) -> None:
    """Each metric of the table, which dashboard and alerts keep to, by some process."""
    listens = [somewhere() for _ in range(3)]
    sequencer = sequencing.start(
        site.engine,
        site.engine.folder / "checkpoints",
        tmp_path / "s.log",
        metrics_listen=listens[0],
    )
    told_where = [
        {**site.engine.env, "VOTEPYRAMID_METRICS_LISTEN": one} for one in listens[1:]
    ]
    with stopping(sequencer):
        admin = start_admin(told_where[0], site.engine.database, tmp_path)
        with stopping(admin, codec.start(told_where[1], tmp_path, "codec-server")):
            assert eventually(lambda: _answers(listens[0]), 20)
            scrapes = {
                "web": scrape(site.web),
                "worker": scrape(site.worker),
                **dict(
                    zip(
                        ("sequencer", "admin", "codec"),
                        map(scrape, listens),
                        strict=True,
                    )
                ),
            }
    exposed = {
        name
        for found in scrapes.values()
        for name in found.families
        if name.startswith("votepyramid_") and not name.endswith("_created")
    }
    documented = set(re.findall(r"^\| `(\w+)`", tables.metrics(), re.MULTILINE))
    assert exposed == {name.removesuffix("_total") for name in documented}
    for name in ("web", "admin", "codec"):
        assert "votepyramid_http_request_seconds" in scrapes[name].families, name
    for name in ("web", "worker", "sequencer", "admin"):
        assert "votepyramid_database_connections_used" in scrapes[name].families, name


def test_every_line_is_json_and_names_its_event(site: Site) -> None:
    """Also what libraries say: here the SDK, of the steps that fail."""
    worker = site.engine.worker
    stick(site, "v3")
    worker.wait_for_log("library")
    events = []
    for line in site.engine.log_text().splitlines():
        said = json.loads(line)
        assert re.fullmatch("[a-z_]+", said["event"]), line
        assert {"level", "timestamp", "process", "pid"} <= set(said), line
        events.append(said)
    of_libraries = [one for one in events if one["event"] == "library"]
    assert {one["logger"] for one in of_libraries} >= {"temporalio.activity"}
    assert all("Traceback" not in str(one) for one in of_libraries)


def test_lines_of_one_request_have_its_id(site: Site) -> None:
    answer = site.door.http.post(
        site.door.path("tokens/claim/"),
        json={},
        headers={"Authorization": "Bearer x.y.z"},
    )
    assert answer.status_code == 401
    name = answer.headers["X-Request-Id"]
    site.engine.web.wait_for_log(name)
    lines = map(json.loads, site.engine.web.log_text().splitlines())
    events = [one["event"] for one in lines if one.get("request_id") == name]
    assert events == ["bearer_refused", "request"]


def test_processes_that_share_a_folder_need_one_address(
    site: Site, tmp_path: Path
) -> None:
    """A second worker has none of its own, and is in the first one's answer."""
    listen = somewhere()
    shared = {"VOTEPYRAMID_METRICS_DIR": str(tmp_path / "metrics")}
    env = {**site.engine.env, **shared}
    del env["VOTEPYRAMID_METRICS_LISTEN"]
    several = Engine(env, site.engine.database, site.engine.temporal, tmp_path)
    teller = Engine(
        {**env, "VOTEPYRAMID_METRICS_LISTEN": listen},
        site.engine.database,
        site.engine.temporal,
        tmp_path,
    )
    with stopping(several.start_worker(), teller.start_worker()):
        told(listen, "votepyramid_processes_running", 2, process="worker")
        several.worker.kill()
        found = scrape(listen)
        assert found.value("votepyramid_processes_running", process="worker") == 1


@pytest.mark.parametrize(
    ("listen", "says"),
    [
        ("taken", "cannot listen on metrics_listen"),
        ("9464", "metrics_listen must be host:port"),
        ("127.0.0.1:70000", "metrics_listen must be host:port"),
        (":9464", "metrics_listen must be host:port"),
    ],
)
def test_an_address_that_cannot_be_had(site: Site, listen: str, says: str) -> None:
    address = site.worker if listen == "taken" else listen
    ran = subprocess.run(
        [VOTEPYRAMID, "worker"],
        env={**site.engine.env, "VOTEPYRAMID_METRICS_LISTEN": address},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode != 0
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr


def test_no_command_decides_on_the_folder_too_early() -> None:
    """prometheus_client looks for it once, when it is imported."""
    commands = (
        "votepyramid.cli",
        "votepyramid.web.commands",
        "votepyramid.web.codec_server.commands",
        "votepyramid.engine.commands",
        "votepyramid.receipts.commands",
    )
    for command in commands:
        code = f"import sys, {command}; sys.exit('prometheus_client' in sys.modules)"
        ran = subprocess.run([sys.executable, "-c", code], check=False)
        assert ran.returncode == 0, command
