"""`make demo`: a real ward's 5,650 ballots, and all that its replay left behind.

Once, on a stack of the suite's own: what the command prints, then histories, logs,
metrics and disk as they are after a whole election.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from temporalio.client import WorkflowExecution

from tests.replay.traces import traces
from tests.support import databases, histories
from tests.support.faults import Console
from tests.support.making import clean_environment, make
from tests.support.processes import (
    Running,
    environment,
    eventually,
    start_web,
    start_worker,
    stopping,
)
from tests.support.scanning import database_texts, identifiers, things, where
from votepyramid.db import make_engine
from votepyramid.keys.local import LocalKeyFile
from votepyramid.keys.service import ElectionKeys
from votepyramid.protocol.identifiers import bearer, token_id
from votepyramid.replay.records import read
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.postgres import EmbeddedPostgres

pytestmark = pytest.mark.timeout(400)

NAMESPACE = "alone-2"
WARD = Path(__file__).parents[2] / "demo" / "minneapolis-2017-ward-9.csv"
BALLOTS = 5650
# So many voters' secrets are looked for, in so many histories of each kind.
VOTERS, HISTORIES = 20, 12


@dataclasses.dataclass(frozen=True)
class Demo:
    """`make demo` and where it left its traces."""

    command: subprocess.CompletedProcess[str]
    env: Mapping[str, str]
    folder: Path
    database: databases.Database
    web: Running
    worker: Running
    console: Console

    @property
    def told(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.command.stdout)
        return document

    def executions(self, kind: str = "") -> list[WorkflowExecution]:
        found = histories.executions(self.console)
        return [one for one in found if kind in one.workflow_type]

    def histories_of(self, kind: str) -> list[tuple[str, str]]:
        """Some of them whole: at the beginning, in the middle and at the end."""
        found = sorted(self.executions(kind), key=lambda one: one.start_time)
        step = max(1, len(found) // HISTORIES)
        return list(histories.texts_of(self.console, found[::step]))

    def process_texts(self) -> Iterator[tuple[str, str]]:
        """All logs and metrics, and what the audit log and group table say."""
        for program in (self.web, self.worker):
            yield f"log of {program.name}", program.log_text()
        yield "metrics", httpx2.get(f"{self.web.url}/metrics").text
        yield "health", httpx2.get(f"{self.web.url}/health/ready").text
        yield "what the command printed", self.command.stdout + self.command.stderr
        for name, text in database_texts(self.database.owner_url):
            if name in ("table audit_events", "table vote_groups"):
                yield name, text

    def bearers(self) -> dict[str, uuid.UUID]:
        """Every voter's token, derived again as only the claim pool can."""
        election, m = self.told["election"], self.manifest_hash()
        engine = make_engine(self.database.owner_url, pool_size=2)
        ring = LocalKeyFile(self.env["VOTEPYRAMID_KEK_FILE"])
        key = ElectionKeys(ring, engine, 1).issuance(election)
        engine.dispose()
        voters = [f"voter-{number + 1:07d}" for number in range(BALLOTS)]
        return {voter: bearer(key, election, m, voter, 0) for voter in voters}

    def manifest_hash(self) -> bytes:
        with psycopg.connect(self.database.owner_url) as db:
            row = db.execute("SELECT manifest_hash FROM elections").fetchone()
        assert row is not None
        return bytes(row[0])


@pytest.fixture(scope="module")
def demo(
    postgres: EmbeddedPostgres,
    template: str,
    temporal: DevServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("ward")
    with databases.fresh(postgres, template) as database:
        env = environment(
            database, temporal, folder, owner=True, temporal_namespace=NAMESPACE
        )
        operators = "VOTEPYRAMID_OWNER_DATABASE_URL"
        serving = {name: value for name, value in env.items() if name != operators}
        worker = start_worker(serving, temporal, folder)
        web = start_web(serving, folder, ready_path="/health/ready")
        with stopping(web, worker):
            away = folder / "away"
            away.mkdir()
            typed = {n: v for n, v in env.items() if n.startswith("VOTEPYRAMID_")}
            person = {**clean_environment(), **typed}
            person |= {"TMPDIR": str(away), "HOME": str(away)}
            said = f"ARGS=--url {web.url} --json"
            command = make("demo", said, env=person, seconds=380)
            assert command.returncode == 0, command.stdout + command.stderr
            console = Console(env)
            assert eventually(lambda: _all_listed(console), 20)
            yield Demo(command, env, folder, database, web, worker, console)


def _all_listed(console: Console) -> bool:
    """Temporal's list runs a little behind its histories."""
    found = histories.executions(console)
    return bool(found) and all(one.close_time is not None for one in found)


def test_all_5650_ballots_come_out_as_they_went_in(demo: Demo) -> None:
    told = demo.told
    assert (told["status"], told["differences"]) == ("equal", [])
    assert told["file"] == WARD.name
    everywhere = (
        "ballots",
        "tokens_issued",
        "tokens_used",
        "votes_accepted",
        "receipts_verified",
        "audit_issued",
        "audit_accepted",
    )
    assert {name: told[name] for name in everywhere} == dict.fromkeys(
        everywhere, BALLOTS
    )
    assert told["votes_rejected"] == 0
    assert told["distinct_ballots"] == len(read(WARD).rows)
    for phase in ("claims", "casts"):
        times = [told[phase][f"p{percent}_ms"] for percent in (50, 95, 99)]
        assert 0 < times[0] <= times[1] <= times[2]


def test_no_choices_are_on_disk(demo: Demo, server_folder: Path) -> None:
    assert traces(server_folder, demo.folder) == []
    assert os.listdir(demo.folder / "away") == []


def test_no_secret_in_histories_logs_and_metrics(demo: Demo) -> None:
    texts = [*demo.histories_of("claim"), *demo.histories_of("vote")]
    texts += demo.process_texts()
    bearers = demo.bearers()
    # The scan finds what must be there, so what it does not find is not there.
    m, election = demo.manifest_hash(), demo.told["election"]
    issued = {str(token_id(election, m, b)) for b in bearers.values()}
    assert len(issued & identifiers(texts)) > VOTERS
    # Whole, all of them; in every other spelling, some.
    assert not {str(b) for b in bearers.values()} & identifiers(texts)
    for secret in random.sample(sorted(bearers.values()), VOTERS):
        assert where(secret, texts) == set()
    # The beginning of every voter's id, and of every sign-in token.
    assert where("voter-000", texts) == set()
    assert where("eyJhbGciOiJFZERTQSIs", texts) == set()
    for name in read(WARD).names:
        if len(name) > 4:
            assert where(name, texts) == set()
    assert where('{"contest":[[', texts) == set()


def test_nothing_joins_a_claim_to_a_cast(demo: Demo) -> None:
    claims = things(demo.histories_of("claim"))
    casts = things(demo.histories_of("vote"))
    assert len(claims) > 500 and len(casts) > 500
    known = histories.of_both(
        demo.console,
        demo.env,
        [demo.told["election"]],
        demo.manifest_hash(),
        demo.web,
        demo.worker,
    )
    assert histories.unexplained(claims, casts, known) == set()


def test_no_voter_reference_is_in_a_log_or_metric(demo: Demo) -> None:
    """The reference of a roster row is in claim histories, and nowhere else."""
    with psycopg.connect(demo.database.owner_url) as db:
        refs = {str(ref) for (ref,) in db.execute("SELECT ref FROM voters")}
    assert len(refs) == BALLOTS
    assert refs & identifiers(demo.histories_of("claim"))
    assert not refs & identifiers(demo.histories_of("vote"))
    assert not refs & identifiers(demo.process_texts())


def test_every_workflow_ended_well_and_names_nothing(demo: Demo) -> None:
    found = demo.executions()
    archive = {"archive_histories"}
    assert {one.workflow_type for one in found} - archive == {
        "claim_tokens",
        "submit_votes",
    }
    for one in found:
        assert one.status is not None and one.status.name == "COMPLETED"
        prefix, _, name = one.id.partition("/")
        kind = prefix if one.workflow_type not in archive else "votes"
        assert kind in ("claims", "votes") and not name.startswith("voter")
    for one in random.sample(found, min(HISTORIES, len(found))):
        names = histories.attribute_names(demo.console, one)
        assert names <= histories.PLAIN_ATTRIBUTES
        assert histories.unsealed(demo.console, one) == []
