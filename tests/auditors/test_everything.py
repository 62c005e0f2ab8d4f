"""Every workflow of an election: claims, casts, its closing, rewrapping of its keys."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.auditors.conftest import Bureau, verify
from tests.auditors.test_archive import archive, forget
from tests.support import histories
from tests.support.elections import MadeElection
from tests.support.engines import Engines
from tests.support.faults import Console
from tests.support.processes import eventually, start_worker, stopping
from tests.support.stacks import VOTEPYRAMID
from tests.support.voting import Door, at_once
from votepyramid.elections import closing
from votepyramid.engine.control import Desk
from votepyramid.people import setup
from votepyramid.settings import Settings
from workflows import messages as m

pytestmark = pytest.mark.timeout(300)

KINDS = {m.SUBMIT_VOTES, m.CLAIM_TOKENS, m.CLOSE_ELECTION, m.REWRAP_KEYS}


@dataclass(frozen=True)
class Ended:
    """An election that a closing brought to its end, its keys rewrapped; its export."""

    bureau: Bureau
    election: MadeElection
    console: Console
    export: Path


@pytest.fixture(scope="module")
def ended(
    engines: Engines, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ended]:
    folder = tmp_path_factory.mktemp("everything")
    with engines.running("everything", closing_patience=2) as engine:
        bureau = Bureau(engine, folder / "checkpoints")
        election = engine.make_election(id="everything", voters=4)
        (door,) = engine.doors(election)
        console = Console(engine.env)
        with stopping(
            *(
                start_worker(
                    {**engine.env, "VOTEPYRAMID_DATABASE_URL": url},
                    engine.temporal,
                    folder,
                    name=role,
                    roles=role,
                )
                for role, url in (
                    ("closing", engine.database.closer_url),
                    ("keys", engine.database.keeper_url),
                )
            )
        ):
            setup.invite(election.engine, "ada", ["administrator"])
            close(bureau, election, console, door)
            rewrap(bureau)
            setup.invite(election.engine, "bea", ["viewer"])
        bureau.sequence()
        done = bureau.export(election.id, folder / "export")
        assert done.returncode == 0, done.stdout + done.stderr
        yield Ended(bureau, election, console, folder / "export")


def close(bureau: Bureau, election: MadeElection, console: Console, door: Door) -> None:
    """With votes in the grace time, and a wait for the log that needs attention."""
    ballots = at_once(lambda n: door.ballot(f"v{n}"), range(4))
    settings = Settings(
        temporal_address=bureau.engine.env["VOTEPYRAMID_TEMPORAL_ADDRESS"],
        codec_keys_file=bureau.engine.env["VOTEPYRAMID_CODEC_KEYS_FILE"],
        closing_task_queue=bureau.engine.env["VOTEPYRAMID_CLOSING_TASK_QUEUE"],
        closing_patience=2,
    )
    desk, workflow = Desk(settings), m.closing(election.id)

    def phase() -> str:
        return closing.state(election.engine, desk, election.id).phase

    closing.start_or_join(election.engine, desk, election.id, early=True)
    assert eventually(lambda: phase() == m.GRACE, 20)
    assert {one.status_code for one in at_once(door.cast, ballots)} == {200}
    election.pass_grace()
    closing.start_or_join(election.engine, desk, election.id)
    assert eventually(lambda: bool(console.attention(workflow)), 30)
    bureau.sequence()
    # Asked for by the closer, and confirmed.
    complete = "SELECT count(*) FROM audit_events WHERE election = %s AND kind = %s"
    asked = (complete, election.id, "votes_complete")
    assert eventually(lambda: election.count(*asked) == 1, 30)
    bureau.sequence()
    console.finished(workflow, 60)


def rewrap(bureau: Bureau) -> None:
    owner = {"VOTEPYRAMID_OWNER_DATABASE_URL": bureau.engine.database.owner_url}
    done = subprocess.run(
        [VOTEPYRAMID, "keys", "rewrap", "--all", "--json"],
        env={**os.environ, **bureau.engine.env, **owner},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def documents(export: Path) -> dict[str, list[str]]:
    """The histories of each type of workflow, payloads decoded."""
    found: dict[str, list[str]] = {}
    for path in sorted((export / "histories").rglob("*.gz")):
        document = json.loads(gzip.decompress(path.read_bytes()))
        started = document["history"]["events"][0]
        about = started["workflowExecutionStartedEventAttributes"]
        text = json.dumps(document)
        payloads = re.findall(r'"data": "([A-Za-z0-9+/=]+)"', text)
        text += "".join(base64.b64decode(one).decode() for one in payloads)
        found.setdefault(about["workflowType"]["name"], []).append(text)
    return found


def checks(export: Path) -> dict[str, Any]:
    """What `audit verify` says of each, by its name."""
    done = verify(export, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return {r["check"]: r for r in json.loads(done.stdout)["checks"]}


def replayed(export: Path) -> int:
    """How many histories it replays, and holds to."""
    row = checks(export)["histories"]
    assert not row["unchecked"]
    return int(row["count"])


def test_each_is_exported_and_replays(ended: Ended) -> None:
    found = documents(ended.export)
    assert set(found) == KINDS
    assert replayed(ended.export) == sum(map(len, found.values()))
    # Temporal has no other of this election, and no other rewrapping.
    queue = ended.bureau.engine.env["VOTEPYRAMID_KEYS_TASK_QUEUE"]
    for query, kinds in (
        (f"ElectionId = '{ended.election.id}'", KINDS - {m.REWRAP_KEYS}),
        (f"TaskQueue = '{queue}'", {m.REWRAP_KEYS}),
    ):
        there = histories.executions(ended.console, query)
        assert len(there) == sum(len(found[kind]) for kind in kinds)
    (closing,) = found[m.CLOSE_ELECTION]
    # It went through every phase, one of which was too long for it.
    for phase in (m.GRACE, m.LOG, m.FINISHED):
        assert f'"phase":"{phase}"' in closing
    assert "NeedsAttention" in closing


def test_acts_on_people_are_known_kinds_of_events(ended: Ended) -> None:
    row = checks(ended.export)["kinds of events"]
    assert not row["unchecked"]
    # The second one came after the end.
    assert row["kinds"]["person_invited"] == 1


def test_no_closing_and_no_rewrapping_names_a_vote_a_token_or_a_voter(
    ended: Ended,
) -> None:
    found = documents(ended.export)
    texts = found[m.CLOSE_ELECTION] + found[m.REWRAP_KEYS]
    names = set()
    with ended.election.sql() as db:
        for query in (
            "SELECT ref::text FROM voters",
            "SELECT voter_id FROM voters",
            "SELECT token::text FROM vote_tokens",
            "SELECT receipt_hash FROM vote_submissions",
            "SELECT encode(tag, 'hex') FROM vote_submissions",
            "SELECT subject FROM audit_events WHERE kind LIKE '%%token_%%'",
        ):
            names |= {f"{row[0]}" for row in db.execute(query)}
    assert len(names) > 16
    for text in texts:
        assert not [name for name in names if f'"{name}"' in text]
        # Nor how many waited when it looked, or a time within an hour.
        assert not re.search(r"[0-9] votes", text)
        shown = re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*", text)
        assert shown and {time[13:] for time in shown} == {":00:00"}


def test_each_is_in_the_archive_when_temporal_has_forgotten(
    ended: Ended, tmp_path: Path
) -> None:
    before = replayed(ended.export)
    archive(ended.bureau, ended.console, ended.election)
    forget(ended.console, ended.election.id)
    queue = ended.bureau.engine.env["VOTEPYRAMID_KEYS_TASK_QUEUE"]
    forget(ended.console, "", f"TaskQueue = '{queue}'")
    done = ended.bureau.export(ended.election.id, tmp_path / "export")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(documents(tmp_path / "export")) == KINDS
    assert replayed(tmp_path / "export") == before
