"""Traces of a real claim and cast: whole, and without a word of whose they are."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from temporalio.api.common.v1 import Header, Payload

from tests.support import histories
from tests.support.elections import Listed, MadeElection
from tests.support.engines import Engine, Engines
from tests.support.faults import Console, poisoned
from tests.support.needs import needs
from tests.support.processes import eventually
from tests.support.scanning import spellings
from tests.support.voting import Ballot, Door
from votepyramid.engine import histories as archived
from votepyramid.observing import tracing
from votepyramid.protocol.identifiers import token_id
from votepyramid.stack.ports import LOOPBACK, free_port

pytestmark = needs("opentelemetry")

VOTERS = [f"citizen-ohm-{number}" for number in range(3)]


@dataclass
class Collector:
    """An OTLP receiver: what the processes have sent to it."""

    bodies: list[bytes] = field(default_factory=list)

    def spans(self) -> list[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        return [
            span
            for body in [*self.bodies]
            for sent in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in sent.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans() if span.name == name]


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, str]]:
    made = Collector()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made, f"http://{LOOPBACK}:{server.server_port}/v1/traces"
    server.shutdown()
    server.server_close()


@dataclass(frozen=True)
class Site:
    engine: Engine
    election: MadeElection
    collector: Collector
    ballots: list[Ballot]
    jwts: list[str]


@pytest.fixture(scope="module")
def site(engines: Engines, collector: tuple[Collector, str]) -> Iterator[Site]:
    """One vote that is recorded, one that the database refuses with its values."""
    told, url = collector
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with engines.running("traces", traces_url=url) as engine:
            election = engine.make_election(
                id="traced", voters=[Listed(v) for v in VOTERS]
            )
            (door,) = engine.doors(election)
            ballots = [door.ballot(voter) for voter in VOTERS[:2]]
            assert door.cast(ballots[0]).status_code == 200
            stuck = ballots[1].receipt_hash
            with poisoned(
                election, "vote_submissions", "receipt_hash", stuck, says="NEW"
            ):
                assert door.cast(ballots[1]).status_code == 202
                assert eventually(lambda: len(told.named("record_votes")) > 5, 20)
            look_around(door, ballots)
            assert eventually(lambda: len(told.named("GET receipts.proof")) > 0, 20)
            jwts = [election.jwt(voter) for voter in VOTERS]
            yield Site(engine, election, told, ballots, jwts)


def look_around(door: Door, ballots: list[Ballot]) -> None:
    door.http.get(door.path(f"receipt/{ballots[0].receipt_hash}/"))
    door.http.get(door.path(f"receipt/{ballots[1].receipt_hash}/?from={VOTERS[0]}"))
    door.http.get(f"/no/such/{ballots[0].bearer}")
    door.claim(VOTERS[2], style="no-such-style")
    door.http.get(door.path(f"receipt/{ballots[0].receipt_hash}/proof"))


def test_a_vote_is_one_trace_from_the_door_to_the_database(site: Site) -> None:
    every = site.collector.spans()
    by_id = {span.span_id: span for span in every}

    def ancestors(span: Any) -> list[str]:
        names = []
        while span is not None:
            names.append(span.name)
            span = by_id.get(span.parent_span_id)
        return names

    ways = [ancestors(span) for span in every]
    for step in ("check_eligibility", "encrypt_ballots", "record_votes"):
        assert [step, "votes group", "POST votes.cast"] in ways
    assert ["INSERT", "record_votes", "votes group", "POST votes.cast"] in ways
    assert ["issue_tokens", "claims group", "POST tokens.claim"] in ways
    assert ["SELECT", "POST votes.cast"] in ways
    for span in every:
        parent = by_id.get(span.parent_span_id)
        assert parent is None or parent.trace_id == span.trace_id


def test_a_stuck_vote_is_followed_into_its_own_workflow(site: Site) -> None:
    how = {
        attribute.value.string_value
        for span in site.collector.named("record_votes")
        for attribute in span.attributes
        if attribute.key == "votepyramid.step.how"
    }
    assert how == {"local", "regular"}
    # Neither the database's words nor a traceback.
    failed = [s for s in site.collector.named("record_votes") if s.status.code == 2]
    assert failed
    assert [s for s in failed if s.status.message or s.events] == []


def test_no_span_says_whose_it_is(site: Site) -> None:
    election, secrets = site.election, set()
    for ballot in site.ballots:
        d = token_id(election.id, election.m, ballot.bearer)
        for one in (ballot.bearer.bytes, d.bytes, ballot.sealed.t):
            secrets |= spellings(one)
        secrets |= {ballot.receipt_hash, ballot.body()["payload"][:40]}
    secrets |= {*VOTERS, *(jwt.rsplit(".", 1)[1] for jwt in site.jwts), "/api/"}
    secrets |= {site.engine.web.url, election.id}
    text = "".join(str(span) for span in site.collector.spans())
    text += "".join(body.decode("latin-1") for body in site.collector.bodies)
    assert "POST votes.cast" in text
    assert [secret for secret in secrets if secret in text] == []


def test_spans_have_the_attributes_of_the_list_alone(site: Site) -> None:
    found = {
        attribute.key
        for span in site.collector.spans()
        for attribute in span.attributes
    }
    assert found == tracing.ATTRIBUTES
    with pytest.raises(ValueError, match="no span may say"):
        tracing._allowed({"url__full": "x"})


def test_histories_leave_temporal_without_their_trace(site: Site) -> None:
    console = Console(site.engine.env)
    raw = [
        text
        for _, text in histories.texts_of(
            console, histories.executions(console, "ElectionId = 'traced'")
        )
    ]
    assert any("traceparent" in text for text in raw)
    history = archived.History()
    started = history.events.add().workflow_execution_started_event_attributes
    started.header.CopyFrom(Header(fields={tracing.HEADER: Payload(data=b"00-1")}))
    archived.coarsen(history)
    assert "traceparent" not in str(history)


def test_a_receiver_that_is_away_holds_nobody_up(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    url = f"http://{LOOPBACK}:{free_port()}/v1/traces"
    with engines.running("untraced", traces_url=url) as engine:
        (door,) = engine.doors(engine.make_election(voters=1))
        assert door.cast(door.ballot("v0")).status_code == 200
        engine.web.wait_for_log("traces_not_sent", 30)
        for program in (engine.web, engine.worker):
            assert program.terminate() == 0
        lines = [json.loads(line) for line in engine.log_text().splitlines()]
    assert any(line.get("event") == "web_stopped" for line in lines)


def test_off_nothing_is_imported() -> None:
    code = (
        "import sys, votepyramid.app, votepyramid.engine.worker; "
        "sys.exit('opentelemetry' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_extra_it_is_said(site: Site) -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from votepyramid.cli import main; main(['worker'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=dict(site.engine.env),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 0
    assert "pip install 'votepyramid[otel]'" in ran.stderr
    assert "Traceback" not in ran.stderr
