"""/metrics over several processes: what they did adds up, what is gone is gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.elections import MadeElection
from tests.support.engines import Engine, Engines
from tests.support.processes import Running
from tests.support.voting import OTHER_SELECTIONS, Door, at_once
from tests.web.conftest import Site

VOTERS = 12
IDENTIFIER = re.compile(r"[0-9a-f]{16,}|[A-Za-z0-9_-]{30,}|v[0-9]+\b")


@dataclass(frozen=True)
class Shared:
    engine: Engine
    election: MadeElection
    folder: Path


@pytest.fixture(scope="module")
def shared(
    engines: Engines, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shared]:
    """Two web processes and a worker on one metrics directory."""
    folder = tmp_path_factory.mktemp("metrics") / "shared"
    with engines.running("metrics", webs=2, metrics_dir=folder) as engine:
        election = engine.make_election(voters=VOTERS + 2)
        yield Shared(engine, election, folder)


Sample = tuple[str, frozenset[tuple[str, str]]]


def scrape(web: Running) -> dict[Sample, float]:
    answer = httpx2.get(f"{web.url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(found: dict[Sample, float], name: str, **labels: str) -> float:
    """The sum over all samples that have these labels."""
    wanted = set(labels.items())
    return sum(v for (n, held), v in found.items() if n == name and wanted <= held)


def requests(found: dict[Sample, float], route: str, status: str) -> float:
    return value(found, "votepyramid_http_requests_total", route=route, status=status)


def test_what_several_processes_did_adds_up(shared: Shared) -> None:
    doors = shared.engine.doors(shared.election)
    assert len(doors) == 2
    before = scrape(shared.engine.web)

    def vote(number: int) -> None:
        door = doors[number % 2]
        ballot = door.ballot(f"v{number}")
        assert door.cast(ballot).status_code == 200
        assert door.cast(door.seal(ballot.bearer, OTHER_SELECTIONS)).status_code == 409

    at_once(vote, range(VOTERS))
    for web in shared.engine.webs:
        after = scrape(web)
        assert requests(after, "votes.cast", "200") == VOTERS
        assert requests(after, "votes.cast", "409") == VOTERS
        assert requests(after, "tokens.claim", "200") == VOTERS
        seconds = "votepyramid_http_request_seconds_count"
        assert value(after, seconds, route="votes.cast") == 2 * VOTERS
        groups = "votepyramid_gateway_group_items"
        assert value(after, f"{groups}_sum", line="claims") == VOTERS
        assert value(after, f"{groups}_sum", line="votes") == 2 * VOTERS
        assert value(after, f"{groups}_count", line="votes") <= 2 * VOTERS
        assert value(after, "votepyramid_gateway_groups_running") == 0
        assert value(after, "votepyramid_gateway_queue_items") == 0
    assert requests(before, "votes.cast", "200") == 0


def test_no_label_names_anybody(shared: Shared) -> None:
    text = httpx2.get(f"{shared.engine.web.url}/metrics").text
    door = shared.engine.doors(shared.election)[0]
    door.http.get("/api/elections/some-election-id/")
    door.http.request("BREW", "/api/elections/demo/")
    labels = {
        label
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        for label in sample.labels.values()
    }
    assert labels
    assert [label for label in labels if IDENTIFIER.search(label)] == []
    assert "some-election-id" not in text
    assert "BREW" not in text


def test_a_killed_process_leaves_its_counts_and_not_its_gauges(
    shared: Shared,
) -> None:
    engine = shared.engine
    killed, left = engine.webs
    door = Door(killed.url, shared.election)
    assert door.cast(door.ballot(f"v{VOTERS}")).status_code == 200
    before = scrape(left)
    assert requests(before, "votes.cast", "200") > 0
    gauges = {
        path.name
        for path in shared.folder.glob("gauge_live*.db")
        if path.name.endswith(f"_{killed.pid}.db")
    }
    assert gauges
    killed.kill()
    after = scrape(left)
    # What it did, it did.
    for status in ("200", "409"):
        assert requests(after, "votes.cast", status) == requests(
            before, "votes.cast", status
        )
    # What it was doing, it does no more.
    remaining = {path.name for path in shared.folder.iterdir()}
    assert remaining.isdisjoint(gauges)
    assert any(name.startswith("counter_") for name in remaining)


def test_a_killed_process_does_not_wait_in_the_queue_for_ever(
    shared: Shared,
) -> None:
    """A process is killed with a vote under way; the gauge must come down."""
    engine = shared.engine
    env = {
        **engine.env,
        "VOTEPYRAMID_VOTE_TASK_QUEUE": "nobody-polls-this-either",
        "VOTEPYRAMID_ANSWER_TIMEOUT": "0.3",
    }
    stuck = Engine(env, engine.database, engine.temporal, shared.folder.parent / "x")
    stuck.folder.mkdir()
    web = stuck.start_web()
    door = Door(web.url, shared.election)
    other = Door(engine.web.url, shared.election)
    assert door.cast(other.ballot(f"v{VOTERS}")).status_code == 202
    running_groups = "votepyramid_gateway_groups_running"
    assert value(scrape(engine.web), running_groups, line="votes") == 1
    web.kill()
    assert value(scrape(engine.web), running_groups, line="votes") == 0


def test_one_process_alone_needs_no_directory(site: Site) -> None:
    found = scrape(site.engine.web)
    assert requests(found, "health.live", "200") >= 1
    assert value(found, "process_start_time_seconds") > 0
