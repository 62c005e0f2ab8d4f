"""A whole election from a file, on a real stack: all that goes in comes out."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import text

from tests.replay.traces import traces
from tests.support.databases import Database
from tests.support.making import clean_environment
from tests.support.processes import (
    environment,
    eventually,
    gone,
    start_web,
    start_worker,
    stopping,
)
from votepyramid.protocol.suites import X25519, XWING
from votepyramid.replay import count, load, run, stacks
from votepyramid.replay import election as elections
from votepyramid.replay.ballots import Ballots
from votepyramid.replay.election import Operator
from votepyramid.replay.records import parse
from votepyramid.replay.run import Plan
from votepyramid.replay.stacks import Target
from votepyramid.stack.devserver import DevServer
from votepyramid.stack.errors import StackError

FILE = """\
precinct,rank1,rank2,ballots
Округ 1,Ævar Þór,李小龍,20
Округ 1,李小龍,overvote,3
Округ 1,undervote,undervote,4
第二区,"O'Neill, Zoë",Ævar Þór,25
第二区,"O'Neill, Zoë","O'Neill, Zoë",8
第二区,overvote,undervote,1
P/3,李小龍,undervote,19
"""
BALLOTS = 80


@dataclasses.dataclass(frozen=True)
class Stack:
    target: Target
    folder: Path

    @property
    def environment(self) -> Mapping[str, str]:
        return self.target.environment


@pytest.fixture(scope="module")
def stack(
    module_database: Database,
    temporal: DevServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("replay")
    env = environment(module_database, temporal, folder, owner=True)
    serving = {k: v for k, v in env.items() if k != "VOTEPYRAMID_OWNER_DATABASE_URL"}
    worker = start_worker(serving, temporal, folder)
    web = start_web(serving, folder, ready_path="/health/ready")
    with stopping(web, worker):
        yield Stack(Target(web.url, env), folder)


@pytest.fixture
def operator(stack: Stack) -> Iterator[Operator]:
    made = Operator(stack.environment)
    yield made
    made.close()


def _ballots(**how: Any) -> Ballots:
    return Ballots(parse(io.StringIO(FILE), "f.csv"), **how)


def _quiet() -> Console:
    return Console(file=io.StringIO())


def _cli(
    *arguments: str, env: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("votepyramid"), "replay", *arguments],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.mark.parametrize("suite", [XWING.id, X25519.id])
def test_everything_that_goes_in_comes_out(stack: Stack, suite: str) -> None:
    report = run.replay(Plan("f.csv", _ballots(), 24, suite), stack.target, _quiet())
    assert report.differences == []
    assert report.totals == count.Totals(
        tokens_issued=BALLOTS,
        tokens_used=BALLOTS,
        votes_accepted=BALLOTS,
        votes_rejected=0,
        audit_issued=BALLOTS,
        audit_accepted=BALLOTS,
    )
    assert (report.verified, report.distinct) == (BALLOTS, 7)
    assert len(report.claims.each) == len(report.casts.each) == BALLOTS


def test_the_command_leaves_no_choices_on_disk(stack: Stack, tmp_path: Path) -> None:
    """Scanned: all that the replay, the stack and its servers wrote."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "f.csv").write_text(FILE)
    env = {**stack.environment, "TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path)}
    given = ["f.csv", "--url", stack.target.url, "--clients", "16", "--json"]
    done = _cli(*given, env=env, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["status"], told["votes_accepted"]) == ("equal", BALLOTS)
    assert told["votes_per_second"] > 0
    assert {"p50_ms", "p95_ms", "p99_ms"} <= set(told["casts"])
    assert os.listdir(tmp_path / "tmp") == []
    assert sorted(os.listdir(tmp_path)) == ["f.csv", "tmp"]


def test_no_choices_where_the_stack_keeps_its_state(
    stack: Stack, server_folder: Path
) -> None:
    report = run.replay(
        Plan("f.csv", _ballots(limit=30), 8, XWING.id), stack.target, _quiet()
    )
    assert report.differences == []
    assert traces(server_folder, stack.folder) == []


def test_the_scan_for_traces_finds_them(tmp_path: Path) -> None:
    plaintext = b'{"contest":[["c2"],[],["c1"]]}'
    (tmp_path / "plain").write_bytes(b"xx" + plaintext)
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + plaintext)
        (tmp_path / f"encoded-{shift}").write_bytes(encoded)
    (tmp_path / "innocent").write_bytes(b'{"contest":"mayor"}')
    assert len(traces(tmp_path)) == 4


def test_a_ballot_that_was_swapped_is_found(stack: Stack, operator: Operator) -> None:
    """Two voters' envelopes changed places in the database."""
    ballots = _ballots(limit=10)
    election = elections.make(operator, ballots, title="Swapped", suite=X25519.id)
    plan = Plan("f.csv", ballots, 4, X25519.id)
    voted = run._vote(plan, stack.target, operator, election, _quiet())
    with operator.engine.begin() as connection:
        connection.execute(
            text(
                "WITH two AS (SELECT id, ballot_snapshot AS s, row_number() OVER () "
                "AS n FROM vote_submissions WHERE election = :e LIMIT 2) "
                "UPDATE vote_submissions v SET ballot_snapshot = b.s "
                "FROM two a JOIN two b ON a.n = 3 - b.n WHERE v.id = a.id"
            ),
            {"e": election.id},
        )
    report = run._count(plan, operator, election, voted, _quiet())
    broken = [line for line in report.differences if "does not open" in line]
    assert len(broken) == 2
    assert report.to_json()["status"] == "different"


def test_a_ballot_too_many_is_found(stack: Stack, operator: Operator) -> None:
    """Counted against a file that has one ballot less than were cast."""
    ballots = _ballots(limit=5, seed=1)
    election = elections.make(operator, ballots, title="One more", suite=X25519.id)
    plan = Plan("f.csv", ballots, 4, X25519.id)
    voted = run._vote(plan, stack.target, operator, election, _quiet())
    fewer = dataclasses.replace(plan, ballots=_ballots(limit=4, seed=1))
    differences = run._count(fewer, operator, election, voted, _quiet()).differences
    assert sum("0 in the file, 1 in the ballot box" in d for d in differences) == 1
    assert "votes accepted: 5 for 4 voters" in differences
    assert "tokens issued: 5 for 4 voters" in differences


def test_a_refused_voter_ends_the_replay(stack: Stack, operator: Operator) -> None:
    ballots = _ballots(limit=5)
    election = elections.make(operator, ballots, title="Closed", suite=X25519.id)
    elections.close(operator, election)
    plan = Plan("f.csv", ballots, 4, X25519.id)
    with pytest.raises(load.ReplayFailed, match="election_closed"):
        run._vote(plan, stack.target, operator, election, _quiet())


def test_a_replay_needs_the_operators_settings(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="needs the operator's settings"):
        stacks.given(stack.target.url, {}, tmp_path)
    assert stacks.given("http://x", stack.environment, tmp_path).url == "http://x"


def test_a_database_that_is_away_is_named(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(FILE)
    away = "postgresql://votepyramid_owner:x@127.0.0.1:9/votepyramid"
    env = {**stack.environment, "VOTEPYRAMID_OWNER_DATABASE_URL": away}
    failed = _cli("f.csv", "--url", stack.target.url, env=env, folder=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.startswith("Error: the database: connection")
    assert "Traceback" not in failed.stderr


def test_a_bad_file_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("precinct,rank1,ballots\nP,A,none\n")
    failed = _cli("f.csv", env=os.environ, folder=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.startswith("Error: f.csv, line 2: ballots must be")
    assert "Traceback" not in failed.stderr


@pytest.mark.timeout(180)
def test_a_replay_that_is_told_to_stop_stops_its_stack(
    tmp_path: Path, passable: Path
) -> None:
    (tmp_path / "f.csv").write_text(FILE)
    env = clean_environment()
    program = Path(sys.executable).with_name("votepyramid")
    running = subprocess.Popen(
        [program, "replay", "f.csv"],
        env=env | {"TMPDIR": str(passable)},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    records = "votepyramid-replay-*/run/*.process.json"
    assert eventually(lambda: len(list(passable.glob(records))) >= 3, 90)
    pids = [json.loads(path.read_text())["pid"] for path in passable.glob(records)]
    running.terminate()
    _, told = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM
    # Before it there may be a line of a server that was asked too early.
    assert told.splitlines()[-1] == "Error: stopped by SIGTERM", told
    assert "Traceback" not in told
    assert all(map(gone, pids))
    assert os.listdir(passable) == []


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder for temporary files that other accounts can pass through."""
    folder = Path(tempfile.mkdtemp(prefix="votepyramid-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.timeout(180)
def test_a_replay_on_a_stack_of_its_own_leaves_nothing_behind(
    tmp_path: Path, passable: Path
) -> None:
    (tmp_path / "f.csv").write_text(FILE)
    env = clean_environment()
    env["TMPDIR"] = str(passable)
    done = _cli("f.csv", "--limit", "20", env=env, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "the opened ballot box holds exactly what the file says" in said
    assert os.listdir(passable) == []
    assert os.listdir(tmp_path) == ["f.csv"]
